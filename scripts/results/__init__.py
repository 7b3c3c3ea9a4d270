"""Results as commands write and check them."""
