"""`paramctl top`: once as text and JSON, and live in a terminal that tmux gives it."""
import json
import subprocess
import tempfile
import unittest

import numpy as np
from daemon_under_load import Daemon, Load, until
from paramd_process import PARAMCTL, PATIENCE_S
from swap_models import MlpModel


class Terminal:
    """A tmux server of its own with one window of 130 columns and 40 lines."""

    def __init__(self, *command):
        self.folder = tempfile.TemporaryDirectory(prefix="paramd-tmux-")
        self.socket = f"{self.folder.name}/socket"
        # The first shell command is the window's; it stays to be looked at.
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", "130", "-y", "40", *command)

    def tmux(self, *arguments):
        ran = subprocess.run(["tmux", "-S", self.socket, *arguments], capture_output=True, text=True, timeout=PATIENCE_S)
        return ran.stdout

    def screen(self):
        return self.tmux("capture-pane", "-p")

    def keys(self, *keys):
        self.tmux("send-keys", *keys)

    def wait_for(self, *words):
        """The screen, once all of the words are on it."""
        return until(lambda: (s := self.screen()) and all(word in s for word in words) and s, f"{words} on the screen")

    def close(self):
        self.tmux("kill-server")
        self.folder.cleanup()


class TopTest(unittest.TestCase):
    MODEL = MlpModel([64, 512, 16], seed=31)

    @classmethod
    def setUpClass(cls):
        cls.daemon = Daemon()
        for model in ("alpha", "beta"):
            cls.MODEL.write(cls.daemon.repository / model, 1)
        (cls.daemon.repository / "broken/1").mkdir(parents=True)
        cls.daemon.start()
        cls.metrics = cls.daemon.process.metrics

    @classmethod
    def tearDownClass(cls):
        cls.daemon.stop()

    def top(self, *arguments):
        return subprocess.run(
            [PARAMCTL, "top", "--metrics-address", self.metrics, *arguments],
            capture_output=True, text=True, timeout=PATIENCE_S)  # fmt: skip

    def test_once_as_text(self):
        with Load(self.daemon.process.grpc, "alpha", np.ones((2, 64), np.float32)) as load:
            load.wait_for(10)
            ran = self.top("--once", "--interval", "0.5")
        self.assertEqual(ran.returncode, 0, ran.stderr)
        for word in ("ready", "requests/s", "compute", "the process", "alpha", "beta", "broken", "default"):
            self.assertIn(word, ran.stdout)
        # The busiest comes first.
        rows = ran.stdout[ran.stdout.index("MODEL") :].splitlines()
        self.assertTrue(rows[1].startswith("alpha"), ran.stdout)

    def test_once_as_json(self):
        with Load(self.daemon.process.grpc, "alpha", np.ones((2, 64), np.float32)) as load:
            load.wait_for(10)
            ran = self.top("--once", "--json", "--filter", "alpha")
        self.assertEqual(ran.returncode, 0, ran.stderr)
        view = json.loads(ran.stdout)
        self.assertEqual([v["model"] for v in view["versions"]], ["alpha"])
        self.assertGreater(view["traffic"]["requests_per_second"], 0)
        self.assertAlmostEqual(sum(s["share"] for s in view["traffic"]["stages_seconds"].values()), 1, places=6)
        # Both hold the same tensors: everything is shared, and there once.
        self.assertEqual(view["versions"][0]["unique_bytes"] + view["versions"][0]["shared_bytes"],
                         self.daemon.metric('paramd_parameter_bytes{model="alpha",version="1",kind="unique"}')
                         + self.daemon.metric('paramd_parameter_bytes{model="alpha",version="1",kind="shared"}'))  # fmt: skip
        self.assertEqual(view["store_bytes"], self.daemon.metric("paramd_store_sealed_bytes"))
        self.assertEqual(sum(view["memory"].values()), view["memory_bytes"])

    def test_what_it_cannot_do_it_says(self):
        ran = self.top()
        self.assertEqual((ran.returncode, ran.stderr), (1, "paramctl: INVALID_ARGUMENT: this is no terminal; use --once\n"))
        ran = self.top("--once", "--sort", "colour")
        self.assertIn("--sort takes name, rate", ran.stderr)
        ran = subprocess.run([PARAMCTL, "top", "--metrics-address", "127.0.0.1:1"], capture_output=True, text=True)
        self.assertIn("no paramd answers at 127.0.0.1:1", ran.stderr)

    def test_live_in_a_terminal(self):
        terminal = Terminal(PARAMCTL, "top", "--metrics-address", self.metrics, "--interval", "0.2", "--sort", "name")
        self.addCleanup(terminal.close)
        screen = terminal.wait_for("requests/s", "alpha", "beta", "broken", "failed: ", "memory", "capacity")
        self.assertLess(screen.index("alpha"), screen.index("beta"))
        with Load(self.daemon.process.grpc, "beta", np.ones((1, 64), np.float32)) as load:
            load.wait_for(10)
            terminal.keys("s")
            screen = terminal.wait_for("sort: rate")
            until(lambda: (s := terminal.screen()).find("beta") < s.find("alpha"), "the busiest is first")
            terminal.keys("Enter")
            terminal.wait_for("beta version 1", "weights id", "STAGE", "encode")
            terminal.keys("Escape")
            terminal.wait_for("MODEL", "alpha")
        terminal.keys("/")
        terminal.wait_for("filter: _")
        terminal.keys("a", "l", "p", "Enter")
        until(lambda: "beta" not in terminal.screen(), "only what matches is left")
        self.assertIn("filter: alp", terminal.screen())
        terminal.keys("p")
        terminal.wait_for("PAUSED")
        terminal.keys("q")
        until(lambda: terminal.tmux("list-sessions") == "", "it ends")

    def test_it_says_when_the_daemon_is_gone(self):
        daemon = Daemon()
        self.MODEL.write(daemon.repository / "alpha", 1)
        daemon.start()
        terminal = Terminal(PARAMCTL, "top", "--metrics-address", daemon.process.metrics, "--interval", "0.2")
        self.addCleanup(terminal.close)
        terminal.wait_for("alpha")
        daemon.stop()
        terminal.wait_for("LOST: no paramd answers", "alpha")


if __name__ == "__main__":
    unittest.main()
