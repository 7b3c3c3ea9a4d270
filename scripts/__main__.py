"""``python -m actlas.scripts`` is ``actlas``."""

from actlas.scripts.cli import main

main()
