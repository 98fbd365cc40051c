"""The program under test: a paramd process on ports that the system chose."""
import http.client
import os
import pathlib
import signal
import subprocess
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
PARAMD = os.environ.get("PARAMD_BIN") or str(ROOT / "build/release/bin/paramd")
PARAMCTL = os.environ.get("PARAMCTL_BIN") or str(ROOT / "build/release/bin/paramctl")
# Sanitizers make everything slower; nothing waits this long when all is well.
PATIENCE_S = 120


def children(pid):
    """Processes that it started and that still run: paramd has paramd-worker."""
    found = []
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # It ended just now.
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return sorted(found)


def listening_ports(pid):
    """TCP ports on which the process or one of its children listens, from /proc: it was told to take any."""
    ports = []
    for one in (pid, *children(pid)):
        ports += [port for port in _own_listening_ports(one) if port not in ports]
    return ports


def _own_listening_ports(pid):
    try:
        sockets = {os.readlink(entry.path) for entry in os.scandir(f"/proc/{pid}/fd")}
        table = []
        for name in ("tcp", "tcp6"):  # gRPC listens on IPv4 addresses through IPv6 sockets.
            if (path := pathlib.Path(f"/proc/{pid}/net/{name}")).exists():
                table += path.read_text().splitlines()[1:]
    except OSError:  # It ended, or closed a descriptor just now.
        return []
    rows = [line.split() for line in table]
    return [int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in sockets]


def http_status(address, path):
    """The status of a GET, or None from something that does not speak HTTP/1."""
    host, port = address.split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


class ParamdProcess:
    """Starts the program, finds its ports, waits until it is ready, and ends it. A context manager; one thread uses it."""

    def __init__(self, repository, *arguments, grpc="127.0.0.1:0", metrics="127.0.0.1:0"):
        self.scratch = tempfile.TemporaryDirectory(prefix="paramd-clients-")
        self.admin_socket = os.path.join(self.scratch.name, "admin.sock")
        self.log = []
        self.grpc = self.metrics = None
        # No grace period: nobody balances load over this one.
        self.process = subprocess.Popen(
            [
                *(PARAMD, "--model-repository", str(repository), "--grpc-address", grpc, "--metrics-address", metrics),
                *("--admin-socket", self.admin_socket, "--drain-grace", "0s", *arguments),
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

    def wait_ready(self):
        """Finds the two ports among those that the process listens on, and waits until it calls itself ready."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline and self.process.poll() is None:
            for port in listening_ports(self.process.pid):
                address = f"127.0.0.1:{port}"
                status = http_status(address, "/healthz")
                if status is None:
                    self.grpc = address
                elif status == 200:
                    self.metrics = address
            if self.grpc and self.metrics:
                return self
            time.sleep(0.02)
        raise AssertionError("paramd did not become ready; its log:\n" + "".join(self.log))

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
        self.process.stdout.close()
        self.scratch.cleanup()
        return status

    def __enter__(self):
        return self.wait_ready()

    def __exit__(self, *_):
        status = self.stop()
        if status != 0:
            raise AssertionError(f"paramd ended with {status}; its log:\n" + "".join(self.log))
