"""``python -m actlas.scripts`` is ``actlas``."""

from actlas.scripts.cli import main

if __name__ == "__main__":  # a worker imports this file again under another name
    main()
