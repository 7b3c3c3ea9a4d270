"""A real browser, driven over WebDriver as its own driver speaks it.

Chromium, without a window, no library between.
"""

import base64
import json
import shutil
import socket
import subprocess
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # how WebDriver marks a reference to an element
KEYS = {
    "right": "\ue014",
    "left": "\ue012",
    "end": "\ue010",
    "home": "\ue011",
    "enter": "\ue007",
    "tab": "\ue004",
}


def installed():
    """Paths of a browser and its driver, None where one of them is not installed."""
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    driver = shutil.which("chromedriver")
    return (browser, driver) if browser and driver else None


@contextmanager
def browser():
    """Open a browser; yield it; close it with its driver."""
    binary, driver = installed()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [driver, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        session = Browser(f"http://127.0.0.1:{port}", binary)
        try:
            yield session
        finally:
            session.ask("DELETE", "")
    finally:
        process.terminate()
        process.wait(timeout=20)


class Browser:
    """A session of WebDriver."""

    def __init__(self, driver, binary):
        self._base = driver
        options = {
            "binary": binary,
            "args": [
                "--headless=new",
                "--no-sandbox",
                "--disable-dev-shm-usage",
                "--disable-gpu",
                "--force-color-profile=srgb",
            ],
        }
        wanted = {
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }
        for attempt in range(100):
            try:
                self._base = (
                    f"{driver}/session/{self._post(f'{driver}/session', wanted)['sessionId']}"
                )
                break
            except ConnectionError:
                if attempt == 99:
                    raise
                time.sleep(0.1)

    @staticmethod
    def _post(url, capabilities):
        body = json.dumps({"capabilities": {"alwaysMatch": capabilities}}).encode()
        try:
            with urllib.request.urlopen(
                urllib.request.Request(url, body, method="POST"), timeout=120
            ) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()) from error
        except urllib.error.URLError as error:
            raise ConnectionError(error) from error

    def ask(self, method, command, body=None):
        """Give a command; return its value."""
        data = None if method in ("GET", "DELETE") else json.dumps(body or {}).encode()
        request = urllib.request.Request(f"{self._base}{command}", data, method=method)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()) from error

    def open(self, path):
        self.ask("POST", "/url", {"url": Path(path).resolve().as_uri()})

    def run(self, script, *arguments):
        """Run the body of a function in the page; return what it returns."""
        return self.ask("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def press(self, selector, *keys):
        """Press keys, by name, on the element of ``selector``."""
        element = self.ask("POST", "/element", {"using": "css selector", "value": selector})[
            ELEMENT
        ]
        self.ask("POST", f"/element/{element}/value", {"text": "".join(KEYS[key] for key in keys)})

    def click(self, selector):
        element = self.ask("POST", "/element", {"using": "css selector", "value": selector})[
            ELEMENT
        ]
        self.ask("POST", f"/element/{element}/click")

    def tell(self, command, **parameters):
        """Give a command of Chromium's own protocol."""
        return self.ask("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def resize(self, width, height=900, *, dark=False, paper=False):
        self.tell(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.tell("Emulation.setEmulatedMedia", media="print" if paper else "", features=[scheme])

    def picture(self, path):
        """Write the whole page, as high as it is."""
        shot = self.tell("Page.captureScreenshot", format="png", captureBeyondViewport=True)["data"]
        Path(path).write_bytes(base64.b64decode(shot))

    def paper(self, path):
        """Write the page as it is printed; return the bytes."""
        content = base64.b64decode(self.tell("Page.printToPDF", printBackground=True)["data"])
        Path(path).write_bytes(content)
        return content

    def log(self, kind):
        """Return the entries of a log since it was last asked for."""
        return self.ask("POST", "/se/log", {"type": kind})

    def requests(self):
        """Return the addresses that the page asked for."""
        messages = [json.loads(entry["message"])["message"] for entry in self.log("performance")]
        return [
            m["params"]["request"]["url"]
            for m in messages
            if m["method"] == "Network.requestWillBeSent"
        ]
