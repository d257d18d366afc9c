"""Headless Chromium, driven through the DevTools protocol, for tests of pages."""

import base64
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from foreign_environments import unavailable
from websockets.sync.client import ClientConnection, connect

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# The sandbox needs rights that root in a container lacks; without --disable-gpu the start waits for a GPU.
OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
)
START_S = 60.0
ANSWER_S = 60.0


class PageError(AssertionError):
    """Refusal of a command, or failure of a script on the page."""


class Page:
    """One tab of the browser.

    Attributes
    ----------
    errors
        Uncaught exceptions and errors on the console, in order.
    """

    def __init__(self, connection: ClientConnection, session: str) -> None:
        self._connection, self._session, self._count = connection, session, 0
        self.errors: list[str] = []
        self._loads = 0
        for domain in ("Page", "Runtime", "Log"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command of the protocol and wait for its answer; record events that arrive meanwhile."""
        self._count += 1
        command = {
            "id": self._count,
            "sessionId": self._session,
            "method": method,
            "params": parameters,
        }
        self._connection.send(json.dumps(command))
        while True:
            message = self._receive(ANSWER_S)
            if message.get("id") == self._count:
                if "error" in message:
                    raise PageError(f"{method}: {message['error']['message']}")
                return dict(message["result"])

    def open(self, address: str) -> None:
        """Load a page and wait until it is complete."""
        before = self._loads
        found = self.send("Page.navigate", url=address)
        if found.get("errorText"):
            raise PageError(f"{address}: {found['errorText']}")
        while self._loads == before:
            self._receive(ANSWER_S)

    def evaluate(self, expression: str) -> Any:
        """Evaluate JavaScript, await a promise, and return the value."""
        found = self.send("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in found:
            raise PageError(f"{expression}: {found['exceptionDetails']}")
        return found["result"].get("value")

    def wait_for(self, expression: str, seconds: float = 30.0) -> Any:
        """Evaluate until the value is true, and return it."""
        end = time.monotonic() + seconds
        while True:
            value = self.evaluate(expression)
            if value or time.monotonic() > end:
                assert value, f"{expression} did not become true within {seconds:g} s"
                return value
            time.sleep(0.1)

    def press(self, key: str, code: int) -> None:
        """Press and release a key, given by its name and Windows code."""
        for kind in ("rawKeyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)

    def resize(self, width: int, height: int) -> None:
        """Set the size of the window in pixels."""
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def set_scheme(self, scheme: str) -> None:
        """Prefer a ``light`` or a ``dark`` page."""
        self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def set_scripts(self, *, enabled: bool) -> None:
        """Allow or forbid scripts from the next load on."""
        self.send("Emulation.setScriptExecutionDisabled", value=not enabled)

    def screenshot(self, path: Path, *, whole: bool = False) -> Path:
        """Write a PNG of the window, or of the whole page."""
        found = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(found["data"]))
        return path

    def _receive(self, seconds: float) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self._connection.recv(seconds))
        method, parameters = message.get("method"), message.get("params", {})
        if method == "Page.loadEventFired":
            self._loads += 1
        elif method == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(parameters["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and parameters["type"] in ("error", "assert"):
            self.errors.append(json.dumps(parameters["args"]))
        elif method == "Log.entryAdded" and parameters["entry"]["level"] == "error":
            self.errors.append(json.dumps(parameters["entry"]))
        return message


@contextmanager
def chromium(folder: Path) -> Iterator[Page]:
    """Run a browser with an empty profile in `folder`, and yield its first tab."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        unavailable(f"none of {', '.join(PROGRAMS)} is installed: apt-get install chromium")
    profile = folder / "chromium"
    log = (folder / "chromium.log").open("w")
    command: list[str] = [program, *OPTIONS, f"--user-data-dir={profile}", "about:blank"]
    # Chromium puts a socket into its folder for temporary files. The path of a socket has at most 107 characters, which
    # pytest's folders exceed when tests run in parallel.
    temporary = Path(tempfile.mkdtemp(prefix="chromium-", dir="/tmp"))
    environment = {**os.environ, "TMPDIR": str(temporary)}
    process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
    try:
        port, path = _wait_for_port(process, profile / "DevToolsActivePort", folder / "chromium.log")
        with connect(f"ws://127.0.0.1:{port}{path}", max_size=None, proxy=None) as connection:
            yield Page(connection, _attach(connection))
    finally:
        _end(process)
        log.close()
        shutil.rmtree(temporary, ignore_errors=True)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End the browser and every process of its session, so that nothing writes to its folder afterwards."""
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for _ in range(100):
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        time.sleep(0.05)


def _wait_for_port(process: "subprocess.Popen[bytes]", file: Path, log: Path) -> tuple[str, str]:
    end = time.monotonic() + START_S
    while time.monotonic() < end and process.poll() is None:
        lines = file.read_text().split() if file.exists() else []
        if len(lines) == 2:
            return lines[0], lines[1]
        time.sleep(0.1)
    ended = process.poll()
    cause = f"did not start within {START_S:g} s" if ended is None else f"ended at once, code {ended}"
    raise PageError(f"Chromium {cause}: {log.read_text()[-2000:]}")


def _attach(connection: ClientConnection) -> str:
    def ask(number: int, method: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        connection.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(connection.recv(ANSWER_S))
            if message.get("id") == number:
                return dict(message["result"])

    # Negative numbers: commands of the tab count from 1.
    target = ask(-1, "Target.createTarget", {"url": "about:blank"})["targetId"]
    return str(ask(-2, "Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"])
