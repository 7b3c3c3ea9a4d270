"""For developers: how the demo model is made."""
