"""What actlas reads: families of models, their sites and their limits."""
