"""The commands: each parses, builds options, calls, reports.

The only folder that knows pipeline, store and analysis.
"""
