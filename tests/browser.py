"""A real browser: Chromium, without a window, driven by Selenium."""

import base64
import json
import shutil
from contextlib import contextmanager
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.common.by import By

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
AXE = Path(__file__).parent / "vendor/axe.min.js"
ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--force-color-profile=srgb",
)


def installed():
    """Paths of a browser and its driver, None where one of them is not installed."""
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    driver = shutil.which("chromedriver")
    return (browser, driver) if browser and driver else None


@contextmanager
def browser(downloads):
    """Open a browser that saves files to ``downloads``; yield it; close it with its driver."""
    binary, driver = installed()
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for argument in ARGUMENTS:
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    chrome = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        allow = {"behavior": "allow", "downloadPath": str(downloads)}
        chrome.execute_cdp_cmd("Browser.setDownloadBehavior", allow)
        yield Browser(chrome)
    finally:
        chrome.quit()


class Browser:
    """A page in the browser."""

    def __init__(self, chrome):
        self.chrome = chrome
        self.run = chrome.execute_script

    def open(self, path):
        """Open a page, with empty logs."""
        self.chrome.get_log("browser"), self.chrome.get_log("performance")
        self.chrome.get(Path(path).resolve().as_uri())

    def find(self, selector):
        return self.chrome.find_element(By.CSS_SELECTOR, selector)

    def resize(self, width, height=900, *, dark=False, paper=False):
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        media = {"media": "print" if paper else "", "features": [scheme]}
        self.chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", media)

    def scripts(self, allowed):
        """Say whether the page may run scripts when it is opened."""
        off = {"value": not allowed}
        self.chrome.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", off)

    def point(self, selector, right=0, down=0):
        """Move the pointer to the middle of an element, or beside it."""
        found = self.find(selector)
        self.run("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", found)
        moves = webdriver.ActionChains(self.chrome, duration=20)
        moves.move_to_element_with_offset(found, right - 9, down).pause(0.05)
        moves.move_to_element_with_offset(found, right, down).perform()

    def picture(self, path):
        """Write the whole page, as high as it is."""
        whole = {"format": "png", "captureBeyondViewport": True}
        shot = self.chrome.execute_cdp_cmd("Page.captureScreenshot", whole)["data"]
        Path(path).write_bytes(base64.b64decode(shot))

    def paper(self):
        """Return the page as it is printed, PDF."""
        printed = self.chrome.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})
        return base64.b64decode(printed["data"])

    def messages(self):
        """Return what the console says since the page was opened."""
        return [entry["message"] for entry in self.chrome.get_log("browser")]

    def requests(self):
        """Return the addresses that were asked for since the page was opened."""
        logged = self.chrome.get_log("performance")
        messages = [json.loads(entry["message"])["message"] for entry in logged]
        sent = [each for each in messages if each["method"] == "Network.requestWillBeSent"]
        return [each["params"]["request"]["url"] for each in sent]

    def violations(self):
        """Return what axe-core finds wrong with the page: rule, and the first such element."""
        self.run(AXE.read_text(encoding="utf-8"))
        return self.chrome.execute_async_script(
            "const done = arguments[0]; axe.run(document).then((found) => done("
            "found.violations.map((each) => [each.id, each.nodes[0].html.slice(0, 200)])))"
        )
