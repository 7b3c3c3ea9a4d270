"""What heads attend to: scores of their weights of attention, beside those of uniform attention."""
