"""Interactive charts: the script that draws them, and how a specification gets into a page.

Nothing of a specification runs: expressions are interpreted, text is text, nothing is fetched.
"""
