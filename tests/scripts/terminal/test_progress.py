"""Progress bars start no thread, whose start could wait for ever where memory runs out."""

import io
import threading

from actlas.scripts.terminal.progress import Bar


def test_a_bar_starts_no_thread():
    before = threading.active_count()
    with Bar(total=3, file=io.StringIO()) as bar:
        bar.update()
        assert threading.active_count() == before
