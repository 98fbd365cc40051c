"""The page at the metrics address, in Debian's headless Chromium: its numbers are those of /metrics, it asks nobody else, and
it is told by keyboard and by screen reader. Screenshots of its four states: PARAMD_SCREENSHOTS=FOLDER keeps them."""
import os
import pathlib
import re
import signal
import tempfile
import unittest
import urllib.request

import grpc
import numpy as np
from browser import Browser
from daemon_under_load import Daemon, Load, free_address
from messages import admin_pb2
from paramd_process import PATIENCE_S
from swap_models import MlpModel, write_version

SCREENSHOTS = os.environ.get("PARAMD_SCREENSHOTS")
STAGES = ("decode", "queue", "batch", "compute", "encode")


def bytes_text(number):
    """As the page writes it: three digits, units of 1000."""
    units = ["B", "kB", "MB", "GB", "TB"]
    while number >= 999.5 and len(units) > 1:
        number /= 1000
        units.pop(0)
    if units[0] == "B":
        text = str(int(number))
    else:
        text = f"{number:.0f}" if number >= 100 else f"{number:.1f}" if number >= 10 else f"{number:.2f}"
    return f"{text}\u00a0{units[0]}"


class Page:
    """The text of /metrics, as the test reads it."""

    def __init__(self, text):
        self.samples = {}
        for line in text.splitlines():
            if line and not line.startswith("#"):
                series, _, value = line.rpartition(" ")
                self.samples[series] = float(value)

    def sum(self, name, **labels):
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        return sum(
            value
            for series, value in self.samples.items()
            if re.match(rf"{name}({{|$)", series) and all(label in series for label in wanted)
        )


class PageTest(unittest.TestCase):
    MODEL = MlpModel([64, 1024, 1024, 16], seed=41)

    def setUp(self):
        self.daemon = Daemon("--load-rate-max", "2MiB", metrics=free_address())
        for version in (1, 2):
            self.MODEL.write(self.daemon.repository / "mlp", version)
        (self.daemon.repository / "mlp/config.pbtxt").write_text("version_policy { specific { versions: 1 } }\n")
        self.MODEL.write(self.daemon.repository / "twin", 1)  # Shares every byte with mlp/1.
        self.daemon.start()
        self.addCleanup(self.daemon.stop)
        self.folder = tempfile.TemporaryDirectory(prefix="paramd-page-")
        self.addCleanup(self.folder.cleanup)
        self.url = f"http://{self.daemon.process.metrics}/"

    def picture(self, browser, name):
        folder = pathlib.Path(SCREENSHOTS or self.folder.name)
        browser.screenshot(folder / f"{name}.png")
        self.assertGreater((folder / f"{name}.png").stat().st_size, 10_000)

    def open(self, browser):
        browser.open(self.url)
        browser.wait_for("document.readyState === 'complete' && document.querySelectorAll('#models tbody tr').length > 1 && "
                         "document.getElementById('p50').textContent !== ''", "numbers are there")  # fmt: skip

    def paused(self, browser):
        """What the page shows, standing still, and the reading of /metrics that it shows."""
        browser.run("document.getElementById('pause').getAttribute('aria-pressed') === 'true' || "
                    "document.getElementById('pause').click()")  # fmt: skip
        text = browser.run("[...state.scrapes[state.scrapes.length - 1].series].map(([k, v]) => `${k} ${v}`).join('\\n')")
        return Page(text)

    def test_idle_numbers_are_those_of_metrics(self):
        with Browser() as browser:
            self.open(browser)
            shown = self.paused(browser)
            direct = Page(urllib.request.urlopen(self.url + "metrics", timeout=PATIENCE_S).read().decode())
            # What does not move by itself is equal to the bit in a reading of our own.
            still = [s for s in direct.samples if re.match(r"paramd_(requests|parameter|store|name|version|queue|batch|load)", s)]
            self.assertGreater(len(still), 100)
            for series in still:
                self.assertEqual(shown.samples[series], direct.samples[series], series)
            self.check_memory(browser, shown)
            self.check_models(browser, shown)
            self.picture(browser, "idle")
            # One page, and nobody else is asked.
            hosts = {re.match(r"(\w+:(?://[^/]*/)?)", address)[1] for address in browser.requests()}
            self.assertEqual(hosts - {"data:"}, {self.url})
            self.assertEqual(browser.complaints(), [])

    def check_memory(self, browser, page):
        rows = browser.run("[...document.querySelectorAll('#memory tbody tr')].map(r => [r.cells[0].textContent, "
                           "r.cells[1].textContent, Number(r.cells[1].dataset.value)])")  # fmt: skip
        whole = browser.run("Number(document.querySelector('#memory tfoot td').dataset.value)")
        self.assertEqual(sum(value for _, _, value in rows), whole)
        self.assertEqual(whole, sum(page.sum("paramd_process_memory_bytes", kind=k) for k in ("anon", "file", "memfd")))
        values = {name: value for name, _, value in rows}
        unique, packed = (page.sum(f"paramd_parameter_{n}", kind="unique") for n in ("bytes", "packed_bytes"))
        self.assertEqual(values["parameters of one version, as in the file"], unique - packed)
        self.assertEqual(values["parameters of one version, packed for kernels"], packed)
        self.assertEqual(values["parameters that versions share, once"], page.sum("paramd_store_shared_bytes"))
        self.assertGreater(values["parameters that versions share, once"], self.MODEL.parameter_bytes)
        for _, text, value in rows:
            self.assertEqual(text, bytes_text(value))

    def check_models(self, browser, page):
        rows = browser.run("[...document.querySelectorAll('#models tbody tr')].map(r => [...r.cells].map(c => c.textContent))")
        twin = next(row for row in rows if row[0] == "twin")
        self.assertEqual(twin[1:4], ["1", "serving", "default"])
        layers = list(zip(self.MODEL.widths, self.MODEL.widths[1:]))
        self.assertEqual(twin[7], f"{sum(a * b for a, b in layers):,}")
        self.assertEqual(twin[8], f"{sum(b for _, b in layers):,}")
        self.assertEqual(twin[9], bytes_text(page.sum("paramd_parameter_bytes", model="twin", kind="unique")))
        self.assertEqual(twin[10], bytes_text(page.sum("paramd_parameter_bytes", model="twin", kind="shared")))
        generation = next(s for s in page.samples if s.startswith('paramd_version_info{model="twin"'))
        self.assertIn(f'generation="{twin[11]}"', generation)

    def test_loaded_rates_and_percentiles_are_those_of_metrics(self):
        with Browser() as browser, Load(self.daemon.process.grpc, "mlp", np.ones((3, 64), np.float32), threads=6) as load:
            self.open(browser)
            browser.wait_for("(state.history.get('') || []).length > 12", "a window of ten seconds")
            load.wait_for(1)
            newer = self.paused(browser)
            older = Page(browser.run("[...state.scrapes[0].series].map(([k, v]) => `${k} ${v}`).join('\\n')"))
            seconds = browser.run("state.scrapes[state.scrapes.length - 1].at - state.scrapes[0].at")
            self.assertGreater(seconds, 9)
            all_requests = newer.sum("paramd_requests_total") - older.sum("paramd_requests_total")
            self.assertGreater(all_requests, 100)
            rate = browser.run("Number(document.getElementById('rate').dataset.value)")
            self.assertAlmostEqual(rate, all_requests / seconds, delta=rate / 1000)
            rows = browser.run("[...document.querySelectorAll('#stages tbody tr')].map(r => [...r.cells].map(c => c.dataset.value))")
            total = 0
            for row, stage in zip(rows, STAGES):
                spent = newer.sum("paramd_request_stage_seconds_sum", stage=stage) - older.sum(
                    "paramd_request_stage_seconds_sum", stage=stage)  # fmt: skip
                total += spent
                self.assertAlmostEqual(float(row[2]), spent / all_requests, delta=1e-3 * spent / all_requests)
                for share, shown in zip((0.5, 0.95, 0.99), row[3:]):
                    self.assertAlmostEqual(float(shown), self.quantile(newer, older, stage, share), delta=1e-9)
            # The stages are the whole.
            self.assertAlmostEqual(float(rows[5][2]) * all_requests, total, delta=0.05 * total)
            self.assertEqual(browser.run("document.querySelectorAll('#latency-chart path').length"), 3)
            self.picture(browser, "loaded")
            # Every picture has its words, and its table.
            for picture in ("stages-bar", "latency-chart", "rate-chart", "batches-chart", "memory-bar", "store-bar"):
                words = browser.run(f"document.getElementById('{picture}').getAttribute('aria-label')")
                self.assertRegex(words, r"\d", picture)
            browser.run("document.querySelectorAll('details').forEach(d => { d.open = true; })")
            browser.wait_for("document.querySelectorAll('#latency-table tbody tr').length > 1 && "
                             "document.querySelectorAll('#batches-table tbody tr').length > 5", "tables behind pictures")  # fmt: skip
            self.assertEqual(browser.complaints(), [])

    @staticmethod
    def quantile(newer, older, stage, share):
        buckets = {}
        for series in newer.samples:
            if series.startswith("paramd_request_stage_seconds_bucket") and f'stage="{stage}"' in series:
                bound = float(re.search(r'le="([^"]+)"', series)[1])
                grown = newer.samples[series] - older.samples.get(series, 0)
                buckets[bound] = buckets.get(bound, 0) + grown
        bounds = sorted(buckets)
        rank = share * buckets[bounds[-1]]
        for i, bound in enumerate(bounds):
            if buckets[bound] >= rank:
                low, before = (bounds[i - 1], buckets[bounds[i - 1]]) if i else (0, 0)
                return low if bound == float("inf") else low + (bound - low) * (rank - before) / (buckets[bound] - before)
        return None

    def test_swapping_and_failed(self):
        with Browser() as browser, Load(self.daemon.process.grpc, "mlp", np.ones((1, 64), np.float32)):
            self.open(browser)
            stream = self.daemon.admin.Load(admin_pb2.LoadRequest(model="mlp", version=2), timeout=PATIENCE_S)
            browser.wait_for("!!document.querySelector('#models progress')", "a load's bar")
            label = browser.run("document.querySelector('#models progress').getAttribute('aria-label')")
            self.assertRegex(label, r"^[\d.]+\u00a0\w+ of [\d.]+\u00a0MB$")
            self.picture(browser, "swapping")
            list(stream)
            browser.wait_for("document.getElementById('events').textContent.includes('default moved from 1 to 2')", "the swap is told")
            write_version(self.daemon.repository / "twin", 2, self.MODEL.onnx(2)[:-100])
            with self.assertRaises(grpc.RpcError) as raised:
                self.daemon.load("twin", 2)
            browser.wait_for("!!document.querySelector('.state.failed')", "the failure is shown")
            why = browser.run("document.querySelector('.state.failed').parentElement.textContent")
            self.assertIn(raised.exception.details(), why)
            self.picture(browser, "failed")
            self.assertEqual(browser.run("document.getElementById('events').getAttribute('role')"), "log")
            # A worker that dies is told, and the page goes on by itself.
            os.kill(self.daemon.worker_pid(), signal.SIGKILL)
            browser.wait_for("document.getElementById('events').textContent.includes('a new worker serves')", "the restart is told")

    def test_it_says_when_the_daemon_is_lost_and_found(self):
        with Browser() as browser:
            self.open(browser)
            os.kill(self.daemon.process.process.pid, signal.SIGSTOP)
            worker = self.daemon.worker_pid()
            os.kill(worker, signal.SIGSTOP)
            try:
                lost = browser.wait_for("!document.getElementById('lost').hidden && document.getElementById('lost').textContent",
                                        "the daemon is lost")  # fmt: skip
                self.assertIn("No answer from the daemon since", lost)
                self.assertEqual(browser.run("document.getElementById('lost').getAttribute('role')"), "alert")
                self.assertTrue(browser.run("document.body.classList.contains('stale') && document.title.includes('lost')"))
                self.picture(browser, "lost")
            finally:
                os.kill(worker, signal.SIGCONT)
                os.kill(self.daemon.process.process.pid, signal.SIGCONT)
            browser.wait_for("document.getElementById('lost').hidden", "it is found again")

    def test_keyboard_phone_and_dark(self):
        with Browser(width=390, height=844, dark=True) as browser, Load(
            self.daemon.process.grpc, "mlp", np.ones((1, 64), np.float32), threads=1
        ):
            self.open(browser)
            # Nothing is wider than the phone.
            self.assertLessEqual(browser.run("document.documentElement.scrollWidth"), 390)
            ink, paper = browser.run("[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]")
            self.assertGreater(contrast(ink, paper), 7)
            quiet = browser.run("getComputedStyle(document.querySelector('dt')).color")
            self.assertGreater(contrast(quiet, paper), 4.5)
            reached = []
            for _ in range(12):
                browser.press("Tab")
                reached.append(browser.run("document.activeElement.id || document.activeElement.className || document.activeElement.tagName"))
            for stop in ("skip", "model", "pause", "SUMMARY", "scroll"):
                self.assertIn(stop, reached)
            browser.run("document.getElementById('pause').focus()")
            browser.press(" ", "Space", " ")
            self.assertEqual(browser.run("document.getElementById('pause').getAttribute('aria-pressed')"), "true")
            browser.press(" ", "Space", " ")
            self.picture(browser, "phone-dark")
            browser.run("const m = document.getElementById('model'); m.value = 'twin'; m.dispatchEvent(new Event('change'))")
            browser.wait_for("document.querySelectorAll('#models tbody tr').length === 1", "one model only")
            # The tree that a screen reader walks.
            nodes = browser.call("Accessibility.getFullAXTree")["nodes"]
            seen = {(n["role"]["value"], n.get("name", {}).get("value", "")) for n in nodes if "role" in n}
            roles = {role for role, _ in seen}
            self.assertLessEqual({"main", "heading", "table", "log", "status", "image", "button"}, roles | {"image"})
            self.assertTrue(any(role in ("image", "img") and name.startswith("Memory: ") for role, name in seen))
            self.assertIn(("heading", "Models 1 of 1 versions serve"), seen)
            self.assertEqual([n for r, n in seen if r in ("button", "combobox", "table") and not n and r != "table"], [])


def contrast(one, other):
    """Of two colours as browsers write them, as WCAG defines it."""

    def luminance(color):
        parts = [int(part) / 255 for part in re.findall(r"\d+", color)[:3]]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


if __name__ == "__main__":
    unittest.main()
