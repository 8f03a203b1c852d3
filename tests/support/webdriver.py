"""Drives Chromium over the WebDriver protocol, for tests that read a page as a person does."""

import base64
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request

BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
MISSING = [
    name for name, path in {"chromium": BROWSER, "chromedriver": DRIVER}.items() if path is None
]
FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Every request to another machine fails at once.
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
]


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Browser:
    """A headless Chromium with a profile of its own. Close it by `quit`."""

    def __init__(self, profile, flags=(), window=(1200, 900)):
        self._address = f"http://127.0.0.1:{(port := free_port())}"
        self._driver = subprocess.Popen([DRIVER, f"--port={port}"], stdout=subprocess.DEVNULL)
        size = f"--window-size={window[0]},{window[1]}"
        arguments = [*FLAGS, size, f"--user-data-dir={profile}", *flags]
        capabilities = {
            "goog:chromeOptions": {"binary": BROWSER, "args": arguments},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }
        wait(self._is_ready)
        session = self._send("POST", "/session", capabilities={"alwaysMatch": capabilities})
        self._session = "/session/" + session["sessionId"]

    def get(self, url):
        self("POST", "/url", url=str(url))

    def run(self, script, *arguments):
        """Returns what a function body in JavaScript returns for these arguments."""
        return self("POST", "/execute/sync", script=script, args=list(arguments))

    def text(self, place):
        """The text of the first element of a CSS selector, `None` if there is none."""
        return self.run("return document.querySelector(arguments[0])?.innerText", place)

    def count(self, place):
        return self.run("return document.querySelectorAll(arguments[0]).length", place)

    def click(self, place):
        self.run("document.querySelector(arguments[0]).click()", place)

    def log(self, kind):
        return self("POST", "/se/log", type=kind)

    def requests(self):
        """The requests since the last call: pairs of a method and a URL."""
        entries = [json.loads(entry["message"])["message"] for entry in self.log("performance")]
        sent = [
            e["params"]["request"] for e in entries if e["method"] == "Network.requestWillBeSent"
        ]
        return [(request["method"], request["url"]) for request in sent]

    def devtools(self, command, **parameters):
        return self("POST", "/goog/cdp/execute", cmd=command, params=parameters)

    def screenshot(self):
        """The page as it is seen, a PNG."""
        return base64.b64decode(self("GET", "/screenshot"))

    def drag(self, place, points, release=True, number=-1, press=True, kind="mouse"):
        """Moves the mouse with its button down over an element of a CSS selector, by its number.

        `points` are in [0, 1], shares of the element's width and height. With `press=False` it goes
        on with a button that an earlier drag did not release. `kind` is "mouse", "touch" or "pen".
        """
        script = """const element = [...document.querySelectorAll(arguments[0])].at(arguments[1]);
          element.scrollIntoView({block: "center"});
          const box = element.getBoundingClientRect();
          return [box.left, box.top, box.width, box.height];"""
        left, top, width, height = self.run(script, place, number)
        moves = [_move(left + x * width, top + y * height) for x, y in points]
        down, up = [{"type": kind, "button": 0} for kind in ("pointerDown", "pointerUp")]
        actions = [moves[0], *([down] if press else []), *moves[1:], *([up] if release else [])]
        source = {"type": "pointer", "id": kind, "parameters": {"pointerType": kind}}
        self("POST", "/actions", actions=[{**source, "actions": actions}])

    def quit(self):
        try:
            self("DELETE", "")
        finally:
            self._driver.terminate()
            self._driver.wait(10)

    def __call__(self, method, path, **body):
        return self._send(method, self._session + path, **body)

    def _is_ready(self):
        try:
            return self._send("GET", "/status")["ready"]
        except OSError:
            return False

    def _send(self, method, path, **body):
        data = json.dumps(body).encode() if method == "POST" else None
        request = urllib.request.Request(self._address + path, data, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(json.load(error)["value"]["message"]) from None


def _move(x, y):
    return {"type": "pointerMove", "duration": 20, "x": round(x), "y": round(y)}


def wait(condition, seconds=20):
    """Returns once `condition()` is true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
