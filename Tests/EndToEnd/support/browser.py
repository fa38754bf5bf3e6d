"""A headless Chromium, driven by the DevTools protocol: pages are opened, looked at and clicked in.

https://chromedevtools.github.io/devtools-protocol/
"""

import contextlib
import itertools
import json
import shutil
import subprocess
import time

import websockets.sync.client

from .waiting import PATIENCE, eventually

# What a browser on a loaded machine may take to start.
_START_PATIENCE = 30


def chromium():
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    raise AssertionError("there is no Chromium: apt-get install chromium, or make setup-test")


class Browser:
    """One process with a profile of its own, which is nobody's."""

    def __init__(self, profile):
        self._ids = itertools.count(1)
        self._answers = {}
        # By session: what its page has said on its console, and what it threw.
        self.complaints = {}
        command = [
            chromium(),
            "--headless=new",
            # The sandbox does not start for root, and what is opened here is ours.
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--no-first-run",
            "--no-proxy-server",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--remote-debugging-port=0",
            f"--user-data-dir={profile}",
            "about:blank",
        ]
        self._errors = open(profile.parent / "chromium.stderr", "ab")  # noqa: SIM115
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self._errors
        )
        port_file = profile / "DevToolsActivePort"

        def address():
            assert self._process.poll() is None, f"Chromium ended with code {self._process.returncode}: see its stderr"
            with contextlib.suppress(FileNotFoundError, ValueError):
                port, path = port_file.read_text().splitlines()
                return f"ws://127.0.0.1:{port}{path}"
            return None

        try:
            url = eventually(address, within=_START_PATIENCE, what="an address to drive Chromium by")
            self._socket = websockets.sync.client.connect(url, max_size=None, proxy=None, compression=None, legacy=True)
        except BaseException:
            self._process.kill()
            self._process.wait()
            raise

    def close(self):
        with contextlib.suppress(Exception):
            self.call("Browser.close")
        self._socket.close()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._errors.close()

    def call(self, method, session=None, **parameters):
        number = next(self._ids)
        message = {"id": number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        self._socket.send(json.dumps(message))
        deadline = time.monotonic() + _START_PATIENCE
        while number not in self._answers:
            self._take(json.loads(self._socket.recv(timeout=max(0.001, deadline - time.monotonic()))))
        answer = self._answers.pop(number)
        assert "error" not in answer, f"{method}: {answer['error']}"
        return answer["result"]

    def _take(self, message):
        if "id" in message:
            self._answers[message["id"]] = message
            return
        said = self.complaints.setdefault(message.get("sessionId"), [])
        if message["method"] == "Runtime.exceptionThrown":
            details = message["params"]["exceptionDetails"]
            said.append(details.get("exception", {}).get("description", details["text"]))
        elif message["method"] == "Log.entryAdded" and message["params"]["entry"]["level"] == "error":
            said.append(message["params"]["entry"]["text"])

    def open(self, url):
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, target, session)
        for domain in ("Runtime", "Log", "Page"):
            self.call(f"{domain}.enable", session)
        self.call("Page.navigate", session, url=url)
        page.wait_for("document.readyState === 'complete' && location.href !== 'about:blank'")
        return page


class Page:
    def __init__(self, browser, target, session):
        self._browser = browser
        self._target = target
        self._session = session

    def close(self):
        self._browser.call("Target.closeTarget", targetId=self._target)

    def evaluate(self, expression):
        """The value of an expression of JavaScript, or of what it promises."""
        result = self._browser.call(
            "Runtime.evaluate", self._session, expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in result, f"{expression}: {result['exceptionDetails']}"
        return result["result"].get("value")

    def wait_for(self, expression, *, within=PATIENCE, what=None):
        """Waits until the expression is something true, and gives that."""
        return eventually(lambda: self.evaluate(expression), within=within, what=what or expression)

    def text(self, selector):
        return self.evaluate(f"document.querySelector({json.dumps(selector)}).textContent")

    def texts(self, selector):
        return self.evaluate(
            f"Array.from(document.querySelectorAll({json.dumps(selector)}), (element) => element.textContent)"
        )

    def fill(self, selector, value):
        """Puts a value into a field as if it had been typed or chosen."""
        self.evaluate(
            f"""(() => {{
                const field = document.querySelector({json.dumps(selector)});
                if (field.disabled) throw new Error("disabled");
                field.value = {json.dumps(value)};
                field.dispatchEvent(new Event("input", {{ bubbles: true }}));
                field.dispatchEvent(new Event("change", {{ bubbles: true }}));
            }})()"""
        )

    def click(self, selector):
        """Clicks, wherever the element has moved to meanwhile."""
        self.evaluate(
            f"""(() => {{
                const element = document.querySelector({json.dumps(selector)});
                if (element.disabled) throw new Error("disabled");
                element.click();
            }})()"""
        )

    def complaints(self):
        """What the page threw, and what the browser holds against it, so far."""
        self.evaluate("0")
        return list(self._browser.complaints.get(self._session, []))
