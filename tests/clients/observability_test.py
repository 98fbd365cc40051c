"""Debian's Prometheus on a daemon under load with swaps: every query of the Grafana dashboard returns data, the rules are
right, and each alert is made to fire once and to clear."""
import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import threading
import time
import unittest

import grpc
import numpy as np
from daemon_under_load import Daemon, Load, free_address, until
from messages import predict_pb2, predict_pb2_grpc
from paramd_process import PATIENCE_S, ROOT, ParamdProcess
from prometheus_process import SHORTER, Prometheus
from swap_models import MlpModel, write_version

OBSERVABILITY = ROOT / "deploy/observability"
HERE = pathlib.Path(__file__).resolve().parent


def run(*command):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=PATIENCE_S)


def dashboard():
    return json.loads((OBSERVABILITY / "grafana/paramd.json").read_text())


def filled_in(expression):
    """As Grafana would: its variables replaced. Annotations look back five seconds instead of 15."""
    variables = {"$__rate_interval": "5s", "$job": "paramd", "$instance": ".*", "$model": ".*", "15s": "5s"}
    for name, value in variables.items():
        expression = expression.replace(name, value)
    return expression


class FilesTest(unittest.TestCase):
    """What can be said without a daemon."""

    def test_promtool_accepts_the_configuration_and_the_rules(self):
        config = run("promtool", "check", "config", OBSERVABILITY / "prometheus.yml")
        self.assertEqual(config.returncode, 0, config.stdout + config.stderr)
        rules = run("promtool", "check", "rules", *sorted(OBSERVABILITY.glob("paramd.*.yml")))
        self.assertEqual(rules.returncode, 0, rules.stdout + rules.stderr)

    def test_the_rules_fire_and_clear_at_their_true_durations(self):
        tests = run("promtool", "test", "rules", HERE / "alerts_rules_test.yml")
        self.assertEqual(tests.returncode, 0, tests.stdout + tests.stderr)
        names = re.findall(r"alert: (\w+)", (OBSERVABILITY / "paramd.alerts.yml").read_text())
        tested = (HERE / "alerts_rules_test.yml").read_text()
        for name in names:
            # In good health, firing, cleared.
            self.assertGreaterEqual(tested.count(f"alertname: {name}"), 3, name)

    def test_the_dashboard_is_what_its_source_writes(self):
        check = run(OBSERVABILITY / "make_dashboard", "--check")
        self.assertEqual(check.returncode, 0, check.stderr)

    def test_panels_lie_beside_each_other(self):
        taken = set()
        for panel in dashboard()["panels"]:
            at = panel["gridPos"]
            cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
            self.assertFalse(cells & taken, panel["title"])
            self.assertLessEqual(at["x"] + at["w"], 24)
            taken |= cells

    def test_every_metric_that_is_asked_for_is_declared(self):
        declared = set(re.findall(r"^\| `(\w+)`", (ROOT / "server/observability/METRICS.md").read_text(), re.MULTILINE))
        asked = "".join(path.read_text() for path in OBSERVABILITY.rglob("*") if path.suffix in (".yml", ".json"))
        names = {re.sub(r"_(bucket|sum|count)$", "", name) for name in re.findall(r"(?<![\w:])paramd_\w+", asked)}
        self.assertEqual({name for name in names if name not in declared and name + "_total" not in declared}, set())


class PanelsTest(unittest.TestCase):
    """One daemon with swaps and all kinds of requests; then the panels are asked."""

    MODEL = MlpModel([64, 256, 16], seed=21)

    def test_every_query_of_the_dashboard_returns_data(self):
        daemon = Daemon(metrics=free_address())
        for version in (1, 2):
            self.MODEL.write(daemon.repository / "mlp", version)
        (daemon.repository / "mlp/config.pbtxt").write_text("version_policy { specific { versions: 1 } }\n")
        daemon.start()
        self.addCleanup(daemon.stop)
        x = np.ones((1, 64), np.float32)
        with Prometheus(daemon.process.metrics) as prometheus, Load(daemon.process.grpc, "mlp", x, threads=1) as load:
            annotations = {one["name"]: filled_in(one["expr"]) for one in dashboard()["annotations"]["list"]}
            until(lambda: prometheus.query("paramd_name_version offset 5s"), "there is a past")
            daemon.load("mlp", 2)
            until(lambda: prometheus.query(annotations["Swaps"]), "the swap is annotated")
            self.assertFalse(prometheus.query(annotations["Rollbacks"]))
            until(lambda: not prometheus.query(annotations["Swaps"]), "the swap is past")
            daemon.paramctl("rollback", "mlp")
            until(lambda: prometheus.query(annotations["Rollbacks"]), "the rollback is annotated")
            os.kill(daemon.worker_pid(), signal.SIGKILL)
            until(lambda: prometheus.query(annotations["Restarts"]), "the restart is annotated")
            load.wait_for(50)
            with self.assertRaises(grpc.RpcError), grpc.insecure_channel(daemon.process.grpc) as channel:
                predict_pb2_grpc.PredictServiceStub(channel).Predict(predict_pb2.PredictRequest(model="mlp"))
            self.ask_every_panel(prometheus)
            self.ask_every_recording_rule(prometheus)

    def ask_every_panel(self, prometheus):
        asked = 0
        for panel in dashboard()["panels"]:
            for target in panel.get("targets", ()):
                expression, names = filled_in(target["expr"]), set(re.findall(r"{{(\w+)}}", target["legendFormat"]))

                def answered(expression=expression, names=names):
                    # With the labels that the legend names.
                    return any(names <= set(labels) for labels, _ in prometheus.query(expression))

                until(answered, f"data for {panel['title']}: {expression} by {names}")
                asked += 1
        self.assertGreater(asked, 30)
        print(f"{asked} queries of the dashboard return data")

    def ask_every_recording_rule(self, prometheus):
        for name in re.findall(r"record: (\S+)", (OBSERVABILITY / "paramd.rules.yml").read_text()):
            found = until(lambda n=name: prometheus.query(n), f"data for {name}")
            self.assertNotIn("version", found[0][0])
        shares = prometheus.query('sum(model_stage:paramd_request_stage_seconds:share_rate5m{model="mlp"})')
        self.assertAlmostEqual(shares[0][1], 1, places=6)


class AlertsTest(unittest.TestCase):
    """Each alert fires for its reason, with the labels that lead to it, and clears when the reason is gone."""

    MODEL = MlpModel([64, 1024, 1024, 16], seed=22)
    SMALL = MlpModel([64, 16], seed=23)

    @classmethod
    def setUpClass(cls):
        cls.fired = set()

    @classmethod
    def tearDownClass(cls):
        names = set(re.findall(r"alert: (\w+)", (OBSERVABILITY / "paramd.alerts.yml").read_text()))
        if cls.fired != names:
            raise AssertionError(f"never made to fire and to clear: {sorted(names - cls.fired)}")

    def fires(self, prometheus, name, **labels):
        def matching():
            alerts = prometheus.firing().get(name, [])
            return [a for a in alerts if all(a.get(k) == v for k, v in labels.items())]

        return until(matching, f"{name} {labels} fires")[0]

    def clears(self, prometheus, *names):
        for name in names:
            until(lambda n=name: n not in prometheus.firing(), f"{name} clears")
            self.fired.add(name)

    def test_what_requests_meet(self):
        """Errors, a slow stage, a queue that grows, memory, a version that fails, the quota."""
        daemon = Daemon("--parameter-capacity-bytes", str(int(self.MODEL.parameter_bytes * 2.1)))
        for version in (1, 2):
            self.MODEL.write(daemon.repository / "mlp", version)
        (daemon.repository / "mlp/config.pbtxt").write_text("version_policy { specific { versions: 1 } }\n")
        # Requests wait for company that never comes: a slow queue without a busy machine.
        self.SMALL.write(daemon.repository / "patient", 1)
        (daemon.repository / "patient/config.pbtxt").write_text(
            "max_batch_size: 4096 dynamic_batching { max_queue_delay_microseconds: 12000000 }\n"
        )
        daemon.start()
        self.addCleanup(daemon.stop)
        with Prometheus(daemon.process.metrics) as prometheus:
            until(lambda: prometheus.query("up == 1"), "a scrape")
            self.assertEqual(prometheus.firing(), {})
            self.queue_grows_and_is_slow(daemon, prometheus)
            self.requests_fail(daemon, prometheus)
            self.memory_fills(daemon, prometheus)
            self.a_version_fails(daemon, prometheus)
            self.the_quota_bites(daemon, prometheus)

    def request(self, **fields):
        x = np.ones((1, 64), np.float32)
        tensor = predict_pb2.Tensor(name="x", shape=x.shape, raw=x.tobytes())
        return predict_pb2.PredictRequest(model="patient", inputs=[tensor], **fields)

    def queue_grows_and_is_slow(self, daemon, prometheus):
        with grpc.insecure_channel(daemon.process.grpc) as channel:
            stub = predict_pb2_grpc.PredictServiceStub(channel)
            calls = []
            stop = threading.Event()

            def ask():
                while not stop.wait(0.02):
                    calls.append(stub.Predict.future(self.request(), timeout=PATIENCE_S))

            thread = threading.Thread(target=ask)
            thread.start()
            try:
                self.fires(prometheus, "ParamdQueueGrowing", model="patient")
            finally:
                stop.set()
                thread.join()
            for call in calls:
                call.result()
        # They waited twelve seconds, and only in the queue.
        slow = self.fires(prometheus, "ParamdStageSlow", model="patient")
        self.assertEqual(slow["stage"], "queue")
        self.clears(prometheus, "ParamdQueueGrowing", "ParamdStageSlow")

    def requests_fail(self, daemon, prometheus):
        with grpc.insecure_channel(daemon.process.grpc) as channel:
            stub = predict_pb2_grpc.PredictServiceStub(channel)
            stop = threading.Event()

            def ask():
                while not stop.is_set():
                    with contextlib.suppress(grpc.RpcError):
                        stub.Predict(self.request(timeout_us=20_000), timeout=PATIENCE_S)

            thread = threading.Thread(target=ask)
            thread.start()
            try:
                self.fires(prometheus, "ParamdErrors", model="patient")
            finally:
                stop.set()
                thread.join()
        self.clears(prometheus, "ParamdErrors")

    def memory_fills(self, daemon, prometheus):
        daemon.load("mlp", 2)
        self.fires(prometheus, "ParamdMemoryNearCapacity")
        daemon.promote("mlp", 1)
        daemon.unload("mlp", 2, force=True)
        self.clears(prometheus, "ParamdMemoryNearCapacity")

    def a_version_fails(self, daemon, prometheus):
        write_version(daemon.repository / "patient", 2, self.SMALL.onnx(2)[:-50])
        with self.assertRaises(grpc.RpcError) as raised:
            daemon.load("patient", 2)
        labels = self.fires(prometheus, "ParamdVersionFailed", model="patient", version="2")
        self.assertEqual(labels["code"], raised.exception.code().name)
        self.assertIn(labels["reason"], raised.exception.details())
        self.SMALL.write(daemon.repository / "patient", 2)
        daemon.load("patient", 2)
        self.clears(prometheus, "ParamdVersionFailed")

    def the_quota_bites(self, daemon, prometheus):
        with quota_of_a_tenth(daemon.worker_pid()) as possible:
            if not possible:
                self.fired.add("ParamdCpuThrottled")  # promtool test rules has it.
                print("no cgroup may be made here: ParamdCpuThrottled was not made to fire")
                return
            with Load(daemon.process.grpc, "mlp", np.ones((16, 64), np.float32)):
                self.fires(prometheus, "ParamdCpuThrottled")
        self.clears(prometheus, "ParamdCpuThrottled")

    def test_what_the_worker_meets(self):
        """A load that hangs, workers that die in it, quarantine; a daemon that is gone, and one that is not ready."""
        daemon = Daemon("--load-rate-max", "1MiB", metrics=free_address())
        self.SMALL.write(daemon.repository / "small", 1)
        large = MlpModel([64, 4096, 4096, 16], seed=24)  # 68 MB at 1 MiB a second.
        daemon.start()
        self.addCleanup(daemon.stop)
        with Prometheus(daemon.process.metrics) as prometheus:
            until(lambda: prometheus.query("up == 1"), "a scrape")
            large.write(daemon.repository / "large", 1)
            loading = threading.Thread(target=self.load_and_lose, args=(daemon,))
            loading.start()
            self.fires(prometheus, "ParamdLoadHangs")
            for crash in range(1, 4):
                until(lambda: daemon.metric("paramd_loads_in_progress"), "it loads again")
                os.kill(daemon.worker_pid(), signal.SIGKILL)
                until(lambda n=crash: self.crashes(daemon) == n, "the next worker says so")
            loading.join()
            self.fires(prometheus, "ParamdCrashLoop")
            self.fires(prometheus, "ParamdVersionQuarantined")
            self.clears(prometheus, "ParamdCrashLoop", "ParamdLoadHangs")
            # Files that changed are tried again.
            self.SMALL.write(daemon.repository / "large", 1)
            daemon.load("large", 1)
            self.clears(prometheus, "ParamdVersionQuarantined")

            address, repository = daemon.process.metrics, daemon.repository
            self.assertEqual(daemon.process.stop(), 0)
            self.fires(prometheus, "ParamdDown", instance=address)
            MlpModel([64, 1024, 1024, 16], seed=25).write(repository / "slow-to-load", 1)  # 4.5 MB at 1 MiB a second.
            daemon.process = ParamdProcess(repository, "--load-rate-max", "1MiB", metrics=address)
            self.clears(prometheus, "ParamdDown")
            self.fires(prometheus, "ParamdNotReady", instance=address)
            daemon.process.wait_ready()
            self.clears(prometheus, "ParamdNotReady")

    @staticmethod
    def load_and_lose(daemon):
        with contextlib.suppress(grpc.RpcError):
            daemon.load("large", 1)

    @staticmethod
    def crashes(daemon):
        with contextlib.suppress(OSError):
            return daemon.metric("paramd_worker_crashes_total")
        return None


@contextlib.contextmanager
def quota_of_a_tenth(pid):
    """Puts a process into a cgroup that may use a tenth of a core, where that may be done; yields whether it was."""
    one, two = pathlib.Path("/sys/fs/cgroup/cpu"), pathlib.Path("/sys/fs/cgroup")
    root, quota = (one, ("cpu.cfs_quota_us", "10000")) if one.exists() else (two, ("cpu.max", "10000 100000"))
    group = root / f"paramd-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError:
        yield False
        return
    try:
        (group / quota[0]).write_text(quota[1])
        (group / "cgroup.procs").write_text(str(pid))
    except OSError:
        group.rmdir()
        yield False
        return
    try:
        yield True
    finally:
        (root / "cgroup.procs").write_text(str(pid))
        until(lambda: not (group / "cgroup.procs").read_text(), "the cgroup is empty")
        group.rmdir()


if __name__ == "__main__":
    print(f"durations of the rules are divided by {SHORTER}")
    unittest.main()
