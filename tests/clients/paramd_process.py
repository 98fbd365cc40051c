"""The program under test: a paramd process on ports that the system chose."""
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import threading

ROOT = pathlib.Path(__file__).resolve().parents[2]
PARAMD = os.environ.get("PARAMD_BIN") or str(ROOT / "build/release/bin/paramd")
PARAMCTL = os.environ.get("PARAMCTL_BIN") or str(ROOT / "build/release/bin/paramctl")
# Sanitizers make everything slower; nothing waits this long when all is well.
PATIENCE_S = 120


class ParamdProcess:
    """Starts the program, waits until it says that it is ready, and ends it. A context manager; one thread uses it."""

    def __init__(self, repository, *arguments, grpc="127.0.0.1:0", metrics="127.0.0.1:0"):
        self.scratch = tempfile.TemporaryDirectory(prefix="paramd-clients-")
        self.log = []
        self._ready = threading.Event()
        self.grpc = self.metrics = None
        # No grace period: nobody balances load over this one.
        self.process = subprocess.Popen(
            [
                *(PARAMD, "--model-repository", str(repository), "--grpc-address", grpc, "--metrics-address", metrics),
                *("--admin-socket", os.path.join(self.scratch.name, "admin.sock"), "--drain-grace", "0s", *arguments),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            cwd=ROOT,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.log.append(line)
            if match := re.search(r"gRPC on (\S+:\d+)", line):
                self.grpc = match[1]
            if match := re.search(r"metrics on (\S+:\d+)", line):
                self.metrics = match[1]
            if re.search(r"\bready\b", line):
                self._ready.set()
        self._ready.set()

    def wait_ready(self):
        if not self._ready.wait(PATIENCE_S) or self.process.poll() is not None or self.grpc is None:
            raise AssertionError("paramd did not become ready; its log:\n" + "".join(self.log))
        return self

    def stop(self):
        """SIGTERM; returns the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError("paramd did not end after SIGTERM; its log:\n" + "".join(self.log)) from None
        self._reader.join()
        self.scratch.cleanup()
        return status

    def __enter__(self):
        return self.wait_ready()

    def __exit__(self, *_):
        status = self.stop()
        if status != 0:
            raise AssertionError(f"paramd ended with {status}; its log:\n" + "".join(self.log))
