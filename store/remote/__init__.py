"""Stores and exports on HTTP(S) or S3, read by ranges where they lie."""
