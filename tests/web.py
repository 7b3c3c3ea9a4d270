"""A web server of a folder with ranges, on a real socket, that counts what it sends."""

import contextlib
import hashlib
import re
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

RANGE = re.compile(r"bytes=([0-9]+)-([0-9]*)")


class Handler(SimpleHTTPRequestHandler):
    """Gives files, or ranges of them, with an ETag of content and time."""

    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self._answer(body=False)

    def do_GET(self):
        self._answer(body=True)

    def _answer(self, *, body):
        server, path = self.server, Path(self.translate_path(self.path))
        server.asked.append((self.command, self.path, self.headers.get("Range")))
        if server.status or not path.is_file():
            self._say(server.status or 404, b"", {})
            return
        content = path.read_bytes()
        tag = f'"{hashlib.sha256(content).hexdigest()[:16]}-{path.stat().st_mtime_ns}"'
        wanted = self.headers.get("If-Match")
        if wanted and wanted != tag:
            self._say(412, b"", {})
            return
        headers = {"ETag": tag, "Accept-Ranges": "bytes"}
        found = RANGE.fullmatch(self.headers.get("Range", "")) if server.ranges else None
        if found:
            first, last = int(found[1]), int(found[2] or len(content) - 1)
            headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
            content = content[first : last + 1]
        self._say(206 if found else 200, content, headers, body=body)

    def _say(self, status, content, headers, *, body=True):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body:
            with contextlib.suppress(ConnectionError):  # who wanted a range hangs up
                self.wfile.write(content)
                self.server.sent += len(content)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    """What it was asked for, the bytes it sent, and how it misbehaves."""

    daemon_threads = True

    def __init__(self, folder):
        self.asked, self.sent, self.ranges, self.status = [], 0, True, 0
        super().__init__(("127.0.0.1", 0), partial(Handler, directory=str(folder)))

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextlib.contextmanager
def serving(folder):
    """Serve a folder on a free port."""
    with Server(folder) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
