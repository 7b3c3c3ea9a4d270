"""The commands: each parses, builds options, calls, reports. The only place that knows pipeline, store and analysis."""
