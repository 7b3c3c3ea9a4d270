"""The format: what bytes and JSON of a store mean, and whether they hold together."""
