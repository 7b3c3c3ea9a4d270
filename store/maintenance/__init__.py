"""Maintenance: verification, repair, garbage collection, disk usage."""
