"""Three looks at each head side by side: what it adds, what its removal costs, where it looks."""
