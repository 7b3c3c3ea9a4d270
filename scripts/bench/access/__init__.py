"""Benchmarks of the ways in and out: Python, torch, the web."""
