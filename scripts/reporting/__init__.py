"""The report: results and what they are of, as one page that needs nothing else.

Whatever comes from a file is escaped.
"""
