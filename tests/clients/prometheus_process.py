"""Debian's own Prometheus on daemons under test, with paramd's rules at a hundredth of their durations."""
import json
import pathlib
import re
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

from paramd_process import PATIENCE_S, ROOT, http_status, listening_ports

RULES = ROOT / "deploy/observability"
# Five minutes are three seconds: long enough for a dozen scrapes.
SHORTER = 100
SCRAPE_MS = 200


def shorter(rules):
    """The same rules, every window and every `for:` a hundredth as long."""

    def shrink(found):
        unit_ms = {"s": 1_000, "m": 60_000, "h": 3_600_000}[found[3]]
        return f"{found[1]}{max(int(found[2]) * unit_ms // SHORTER, 3 * SCRAPE_MS)}ms"

    rules = re.sub(r"(\[)(\d+)([smh])(?=\])", shrink, rules)
    return re.sub(r"(\bfor: )(\d+)([smh])", shrink, rules)


class Prometheus:
    """A context manager; `targets` are addresses of metrics ports."""

    def __init__(self, *targets):
        self.folder = tempfile.TemporaryDirectory(prefix="paramd-prometheus-")
        folder = pathlib.Path(self.folder.name)
        for name in ("paramd.rules.yml", "paramd.alerts.yml"):
            (folder / name).write_text(shorter((RULES / name).read_text()))
        # JSON is YAML.
        (folder / "prometheus.yml").write_text(
            json.dumps(
                {
                    "global": {"scrape_interval": f"{SCRAPE_MS}ms", "scrape_timeout": f"{SCRAPE_MS}ms",
                               "evaluation_interval": f"{SCRAPE_MS}ms"},
                    "rule_files": ["paramd.rules.yml", "paramd.alerts.yml"],
                    "scrape_configs": [{"job_name": "paramd", "static_configs": [{"targets": list(targets)}]}],
                }  # fmt: skip
            )
        )
        self.log = open(folder / "log", "w+")
        self.process = subprocess.Popen(
            ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
             "--web.listen-address=127.0.0.1:0", "--log.level=warn"],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT)  # fmt: skip
        self.address = None

    def __enter__(self):
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline and self.process.poll() is None:
            for port in listening_ports(self.process.pid):
                if http_status(f"127.0.0.1:{port}", "/-/ready") == 200:
                    self.address = f"127.0.0.1:{port}"
                    return self
            time.sleep(0.05)
        self.log.seek(0)
        raise AssertionError("prometheus did not become ready:\n" + self.log.read())

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(PATIENCE_S)
        self.log.close()
        self.folder.cleanup()

    def _ask(self, path, **parameters):
        url = f"http://{self.address}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            return json.load(urllib.request.urlopen(url, timeout=PATIENCE_S))["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{parameters}: {error.read().decode()}") from None

    def query(self, expression):
        """[(labels, value)] now."""
        return [(one["metric"], float(one["value"][1])) for one in self._ask("query", query=expression)["result"]]

    def firing(self):
        """{alert's name: [labels]} of what fires now."""
        found = {}
        for alert in self._ask("alerts")["alerts"]:
            if alert["state"] == "firing":
                found.setdefault(alert["labels"]["alertname"], []).append(alert["labels"])
        return found
