"""Labels of tokens and sentences: in shards, and in versions beside them."""
