"""A headless Chromium, driven by the DevTools protocol over two pipes."""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
OPTIONS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-pipe")


class Browser:
    """One tab; to be used as a context.

    Args:
        errors: what the console was told as an error, and exceptions of scripts.
    """

    def __init__(self, profile: Path) -> None:
        """Start the browser.

        Args:
            profile: an empty folder for what it keeps.
        """
        theirs_in, self.out = os.pipe()
        self.back, theirs_out = os.pipe()
        started = f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}'
        self.process = subprocess.Popen(
            ["bash", "-c", started, "bash", CHROMIUM, *OPTIONS, f"--user-data-dir={profile}", "about:blank"],
            pass_fds=(theirs_in, theirs_out), stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(theirs_in)
        os.close(theirs_out)
        self.read, self.sent, self.session, self.errors = b"", 0, "", list[str]()
        target = next(t for t in self.ask("Target.getTargets")["targetInfos"] if t["type"] == "page")
        self.session = self.ask("Target.attachToTarget", targetId=target["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.ask(f"{domain}.enable")

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.out)  # which ends the browser
        os.close(self.back)
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the protocol and wait for its answer.

        Args:
            method: such as "Page.navigate".
            params: what it takes.
        """
        self.sent += 1
        message = {"id": self.sent, "method": method, "params": params}
        os.write(self.out, json.dumps(message | ({"sessionId": self.session} if self.session else {})).encode() + b"\0")
        while (answer := self._next()).get("id") != self.sent:
            pass
        assert "error" not in answer, answer
        return answer["result"]

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self.read:
            more = os.read(self.back, 1 << 16)
            assert more, "the browser has ended"
            self.read += more
        line, _, self.read = self.read.partition(b"\0")
        told = json.loads(line)
        if told.get("method") == "Runtime.exceptionThrown" or "error" in str(
            told.get("params", {}).get("entry", {}).get("level", told.get("params", {}).get("type", ""))
        ):
            self.errors.append(line.decode())
        return told

    def open(self, page: Path) -> None:
        """Open a file and wait until it is loaded.

        Args:
            page: the file.
        """
        address = page.resolve().as_uri()
        self.ask("Page.navigate", url=address)
        while self.run("document.readyState + ' ' + location.href") != f"complete {address}":
            time.sleep(0.02)

    def resize(self, width: int, scheme: str = "light") -> None:
        """Show the page in another window.

        Args:
            width: of the window, in pixels.
            scheme: what the reader prefers, "light" or "dark". Default light.
        """
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        self.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def run(self, script: str) -> Any:
        """What a JavaScript expression is.

        Args:
            script: the expression; its value has to be JSON data.
        """
        told = self.ask("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")
