"""What takes a run elsewhere: copies for other libraries, tables, the index for a web server."""
