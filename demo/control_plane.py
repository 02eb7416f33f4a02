"""The control plane as the demo uses it: `godwit serve` in its own process, and its command."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

START_LIMIT_S = 60.0
CLI_LIMIT_S = 120.0


class Console:
    """Where the command is typed. `url` is the API's."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._environment = {**os.environ, "GODWIT_URL": url}

    def godwit(self, *words: str, quiet: bool = False) -> int:
        """Type `godwit WORDS` and let the viewer see what it prints; its exit code."""
        output = subprocess.DEVNULL if quiet else None
        return subprocess.run(
            [sys.executable, "-m", "godwit", *words],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            timeout=CLI_LIMIT_S,
            check=False,
        ).returncode

    def typed(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Type `godwit WORDS` unseen; its exit code and what it said."""
        return subprocess.run(
            [sys.executable, "-m", "godwit", *words],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=CLI_LIMIT_S,
            check=False,
        )

    def ask(self, *words: str) -> Any:
        """What `godwit WORDS --json` answers."""
        done = self.typed(*words, "--json")
        if not done.stdout:
            raise RuntimeError(f"godwit {' '.join(words)}: {done.stderr.strip()}")
        return json.loads(done.stdout)

    def start(self) -> None:
        """Start what is behind the API, and wait until it answers."""
        raise NotImplementedError

    def stop(self) -> None:
        """End it."""
        raise NotImplementedError

    def last_words(self) -> str:
        """What the processes behind the API have said at last."""
        raise NotImplementedError


class ControlPlane(Console):
    """One `godwit serve` on one settings file, started, killed and started again."""

    def __init__(self, folder: Path, settings: str) -> None:
        self.folder = folder
        self._settings = folder / "godwit.toml"
        self._settings.write_text(
            f'[server]\nlisten = "unix:{folder}/api"\nstate_dir = "{folder}/state"\n{settings}'
        )
        super().__init__(f"unix:{folder}/api")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        """Was it started, and has it not ended?"""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process of `godwit serve`; RuntimeError if none was started."""
        if self._process is None:
            raise RuntimeError("godwit serve was not started")
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it answers; RuntimeError with its last words if it does not."""
        with (self.folder / "serve.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "godwit", "serve", "--config", str(self._settings)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        give_up_at = time.monotonic() + START_LIMIT_S
        while self.godwit("host", "list", "--json", quiet=True) != 0:
            if self._process.poll() is not None or time.monotonic() > give_up_at:
                raise RuntimeError(f"godwit serve does not answer:\n{self.last_words()}")
            time.sleep(0.1)

    def kill(self) -> None:
        """`kill -9`: no farewell, no clean-up."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """End it as an operator would, if it still runs."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None

    def last_words(self) -> str:
        """The end of its log."""
        lines = (self.folder / "serve.log").read_text(errors="replace").splitlines()
        return "\n".join(lines[-15:])
