"""Bytes that one layer's target tokens take from a store behind a web server.

    python scripts/bench/access/remote.py --layers 48

A synthetic run at the width of GPT-2 XL; a server of this process gives ranges of its files and
counts what it sends. Then ``q`` of the word at one layer is read, once from an empty cache and once
more. What is moved is one block for each unit, labels and records; the rest of the run stays where
it lies. The share of the run's bytes is printed, and whether values equal those on the disk.
"""

from __future__ import annotations

import os
import re
import tempfile
import threading
import time
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import click
import numpy as np

from actlas.analysis.data.tokens import Target, select_tokens
from actlas.pipeline.models.geometry import Geometry
from actlas.scripts.bench.common.synthetic import WORD, labels_of, random_run
from actlas.scripts.terminal.text import size, table
from actlas.store import Run, Store
from actlas.store.maintenance.index_file import write_index
from actlas.store.remote import objects

SITES = ("resid", "q", "k", "v", "attn_out", "mlp_out")
WIDTH = {"n_head": 25, "d_model": 1600, "d_head": 64, "d_mlp": 6400}
RANGE = re.compile(r"bytes=([0-9]+)-([0-9]+)")


class Ranges(BaseHTTPRequestHandler):
    """Gives ranges of the files of a folder and counts their bytes."""

    protocol_version = "HTTP/1.1"
    counted: ClassVar[dict[str, int]] = {"bytes": 0, "requests": 0}

    def __init__(self, folder: Path, *rest: object) -> None:
        self.folder = folder
        super().__init__(*rest)  # type: ignore[arg-type]

    def do_HEAD(self) -> None:  # named by the library
        """Answer without a body."""
        self.do_GET()

    def do_GET(self) -> None:
        """Answer with a file or a range of it."""
        path = self.folder / self.path.lstrip("/")
        found = RANGE.fullmatch(self.headers.get("Range", ""))
        whole = path.stat().st_size
        first, last = (int(found[1]), int(found[2])) if found else (0, whole - 1)
        self.send_response(206 if found else 200)
        self.send_header("ETag", f'"{path.stat().st_mtime_ns}"')
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Range", f"bytes {first}-{last}/{whole}")
        self.send_header("Content-Length", str(last + 1 - first))
        self.end_headers()
        self.counted["requests"] += 1
        if self.command == "GET":
            with path.open("rb") as file:
                file.seek(first)
                self.counted["bytes"] += self.wfile.write(file.read(last + 1 - first))

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@click.command()
@click.option("--layers", default=48, show_default=True)
@click.option("--sentences", default=24, show_default=True)
@click.option("--tokens", default=16, show_default=True, help="Tokens a sentence.")
@click.option("--units", default=3, show_default=True)
@click.option("--folder", type=click.Path(path_type=Path), help="Where to write.")
def main(layers: int, sentences: int, tokens: int, units: int, folder: Path | None) -> None:
    """Measure what reading one layer over HTTP moves."""
    with tempfile.TemporaryDirectory(dir=folder, prefix="actlas-bench-") as scratch:
        root = Path(scratch)
        os.environ["XDG_CACHE_HOME"] = str(root / "cache")
        geometry = Geometry(n_layer=layers, positions=1024, vocabulary=50257, **WIDTH)
        labels = labels_of(sentences, tokens)
        run = random_run(root / "store", geometry, SITES, labels, -(-sentences // units))
        Store(root / "store").name(run, "xl")
        write_index(root / "store")
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Ranges, root))
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/store"
        rows = [read(url, run, layers // 2, what) for what in ("empty cache", "again")]
        server.shutdown()
        click.echo(f"{run.tokens} tokens, {len(run.units)} units, {size(run.nbytes)}")
        click.echo(table(("read", "bytes", "of the run", "requests", "s"), rows))


def read(url: str, run: Run, layer: int, what: str) -> tuple[str, str, str, str, str]:
    """Read ``q`` of the word at a layer and return a row of the table."""
    objects.forget(url)
    Ranges.counted |= {"bytes": 0, "requests": 0}
    start = time.perf_counter()
    views = [each.dataset("q")["q"] for each in (Store(url).run("xl"), run)]
    word = select_tokens(views[0].to_dataset(name="q"), Target(WORD)).target_token
    found, wanted = (view.isel(layer=layer, token=word).values for view in views)
    seconds = time.perf_counter() - start
    assert np.array_equal(found, wanted)
    nbytes = Ranges.counted["bytes"]
    share = f"{100 * nbytes / run.nbytes:.2f} %"
    return what, size(nbytes), share, str(Ranges.counted["requests"]), f"{seconds:.2f}"


if __name__ == "__main__":
    main()
