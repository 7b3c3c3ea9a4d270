"""Files: durable writes, safe opening, replacing as a whole, workspaces of writers."""
