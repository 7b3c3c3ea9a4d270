"""The command line: options, failures, streams, tables, completion."""
