"""What is made of a study's declaration: its command, and its result on disk."""
