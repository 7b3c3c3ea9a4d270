"""Study files: read, planned, brought up to date."""
