"""Weights swapped while requests run, as clients and operators see it: 20 swaps, every way in which a version can fail,
a killed worker in the middle of a load, the folder that is watched, and the operator's command line."""
import json
import os
import pathlib
import random
import shutil
import signal
import time
import unittest

import grpc
import numpy as np
from daemon_under_load import Daemon, Load, until
from messages import admin_pb2, admin_pb2_grpc, model_pb2, predict_pb2, predict_pb2_grpc
from paramd_process import PATIENCE_S
from swap_models import MlpModel, relative_error, write_version

# Larger when a measurement wants it.
SWAPS = int(os.environ.get("PARAMD_SWAPS", "20"))
# Rounding differs with the batch a request rides in; other weights give another answer altogether.
TOLERANCE = 1e-3


class SwapTest(unittest.TestCase):
    """One daemon whose model has about 4.4 MB of parameters; `default` moves only when it is told to."""

    MODEL = MlpModel([64, 1024, 1024, 16], seed=6)

    @classmethod
    def setUpClass(cls):
        cls.daemon = Daemon("--parameter-capacity-bytes", "24MiB")
        for version in (1, 2):
            cls.MODEL.write(cls.daemon.repository / "mlp", version)
        (cls.daemon.repository / "mlp/config.pbtxt").write_text("version_policy { specific { versions: 1 } }\n")
        cls.daemon.start()
        cls.daemon.admin.SetAutoPromote(admin_pb2.SetAutoPromoteRequest(model="mlp", on=False), timeout=PATIENCE_S)
        cls.x = np.random.default_rng(1).standard_normal((1, 64), np.float32)
        cls.channel = grpc.insecure_channel(cls.daemon.process.grpc)
        cls.stub = predict_pb2_grpc.PredictServiceStub(cls.channel)

    @classmethod
    def tearDownClass(cls):
        cls.channel.close()
        cls.daemon.stop()

    def setUp(self):
        """Whatever a test before this one left: version 1 serves and is the default, 2 is not loaded."""
        self.daemon.load("mlp", 1)
        self.daemon.promote("mlp", 1)
        for version in self.daemon.state("mlp").versions:
            if version.version != 1 and version.desired:
                self.daemon.unload("mlp", version.version, force=True)

    def wanted(self, version):
        return self.MODEL.answer(version, self.x).ravel()

    def ask(self, **fields):
        request = predict_pb2.PredictRequest(
            model="mlp", inputs=[predict_pb2.Tensor(name="x", shape=self.x.shape, raw=self.x.tobytes())], **fields
        )
        return self.stub.Predict(request, timeout=PATIENCE_S)

    def check_answers(self, answers, versions=(1, 2)):
        """None failed; each comes from the version and the generation that it names."""
        self.assertEqual({answer.error for answer in answers if answer.error}, set())
        wanted = {version: self.wanted(version) for version in versions}
        version_of = {}
        for answer in answers:
            self.assertLessEqual(relative_error(answer.output, wanted[answer.version]), TOLERANCE)
            self.assertEqual(version_of.setdefault(answer.generation, answer.version), answer.version)

    def test_twenty_swaps_under_load(self):
        sealed_one = self.daemon.metric("paramd_store_sealed_bytes")
        self.assertGreaterEqual(sealed_one, self.MODEL.parameter_bytes)
        promoted = []  # (reply of Promote, start of the next Promote, generation)
        now, following = 1, 2
        generations = {self.daemon.version("mlp", 1).generation}
        with Load(self.daemon.process.grpc, "mlp", self.x) as load:
            load.wait_for(20)
            for _ in range(SWAPS):
                self.daemon.load("mlp", following)
                generation = self.daemon.version("mlp", following).generation
                self.assertNotIn(generation, generations)
                generations.add(generation)
                self.assertEqual(self.daemon.metric("paramd_store_sealed_bytes"), 2 * sealed_one)
                started = time.monotonic()
                if promoted:
                    promoted[-1][1] = started
                name = self.daemon.promote("mlp", following)
                promoted.append([time.monotonic(), float("inf"), generation])
                self.assertEqual((name.name, name.version, name.previous), ("default", following, now))
                load.wait_for(5)
                self.daemon.unload("mlp", now)
                # The bytes are back when the call is: every tensor differs, none is shared.
                self.assertEqual(self.daemon.metric("paramd_store_sealed_bytes"), sealed_one)
                now, following = following, now
                load.wait_for(5)
        self.check_answers(load.answers)
        later = 0
        for replied, next_started, generation in promoted:
            for answer in load.answers:
                # Sent after the reply to Promote, and answered before anybody promoted again.
                if answer.sent > replied and answer.ended < next_started:
                    self.assertEqual(answer.generation, generation)
                    later += 1
        self.assertGreater(later, 5 * SWAPS)
        print(f"{SWAPS} swaps, {len(load.answers)} requests, {later} of them sent after a Promote and before the next")

    def test_going_back_is_one_call_and_needs_no_file(self):
        self.daemon.load("mlp", 2)
        first = self.daemon.version("mlp", 1).generation
        self.daemon.promote("mlp", 2)
        hidden = self.daemon.repository / "mlp/1/hidden"
        os.rename(self.daemon.repository / "mlp/1/model.onnx", hidden)
        try:
            with Load(self.daemon.process.grpc, "mlp", self.x, threads=1) as load:
                load.wait_for(3)
                name = self.daemon.admin.Rollback(admin_pb2.RollbackRequest(model="mlp"), timeout=PATIENCE_S).name
                back = time.monotonic()
                load.wait_for(3)
        finally:
            os.rename(hidden, self.daemon.repository / "mlp/1/model.onnx")
        self.assertEqual((name.version, name.previous), (1, 2))
        self.check_answers(load.answers)
        self.assertEqual({a.generation for a in load.answers if a.sent > back}, {first})

    def test_labels_point_at_versions(self):
        self.daemon.load("mlp", 2)
        self.daemon.promote("mlp", 2, "canary")
        self.daemon.promote("mlp", 1, "stable")
        self.assertEqual(self.ask(label="canary").version, 2)
        self.assertEqual(self.ask(label="stable").version, 1)
        self.assertEqual(self.ask().version, 1)
        self.assertEqual(self.ask(version=2).version, 2)
        # A version that a name points at is not unloaded by accident.
        details = self.refused(grpc.StatusCode.FAILED_PRECONDITION, self.daemon.unload, "mlp", 2)
        self.assertIn("canary", details)
        for name in ("canary", "stable"):
            self.daemon.admin.RemoveName(admin_pb2.RemoveNameRequest(model="mlp", name=name), timeout=PATIENCE_S)
        with self.assertRaises(grpc.RpcError) as gone:
            self.ask(label="canary")
        self.assertEqual(gone.exception.code(), grpc.StatusCode.NOT_FOUND)

    def refused(self, code, call, *arguments, **fields):
        with self.assertRaises(grpc.RpcError) as raised:
            call(*arguments, **fields)
        self.assertEqual(raised.exception.code(), code, raised.exception.details())
        self.assertNotIn(str(self.daemon.repository), raised.exception.details())
        return raised.exception.details()

    def fails_and_version_1_serves_on(self, version, code, *words):
        """The load's own error, with what a person needs to mend it; the same reason in the state; nothing is left."""
        sealed = self.daemon.metric("paramd_store_sealed_bytes")
        with Load(self.daemon.process.grpc, "mlp", self.x, threads=1) as load:
            load.wait_for(2)
            details = self.refused(code, self.daemon.load, "mlp", version)
            load.wait_for(2)
        for word in words:
            self.assertIn(word, details)
        self.check_answers(load.answers)
        self.assertEqual({answer.version for answer in load.answers}, {1})
        # Less: what an earlier test left was still being given back when this one began.
        self.assertLessEqual(self.daemon.metric("paramd_store_sealed_bytes"), sealed)
        return details

    def reason_is_kept(self, version, words):
        state = self.daemon.version("mlp", version)
        self.assertEqual(state.state, model_pb2.VERSION_STATE_FAILED)
        for word in words:
            self.assertIn(word, state.reason)

    def test_a_version_that_is_missing(self):
        self.fails_and_version_1_serves_on(99, grpc.StatusCode.NOT_FOUND, "99")

    def test_a_folder_without_a_model(self):
        (self.daemon.repository / "mlp/10").mkdir()
        with self.assertRaises(grpc.RpcError) as raised:
            self.daemon.load("mlp", 10)
        self.assertIn("model.onnx", raised.exception.details())
        self.assertEqual(self.ask().version, 1)

    def test_a_file_that_is_cut_off(self):
        write_version(self.daemon.repository / "mlp", 11, self.MODEL.onnx(11)[:-100_000])
        details = self.fails_and_version_1_serves_on(11, grpc.StatusCode.INVALID_ARGUMENT)
        self.reason_is_kept(11, [details])
        # It serves as soon as the file is whole and somebody asks.
        self.MODEL.write(self.daemon.repository / "mlp", 11)
        self.daemon.load("mlp", 11)
        self.assertEqual(self.ask(version=11).version, 11)

    def test_a_file_that_is_no_model(self):
        write_version(self.daemon.repository / "mlp", 12, b"\x08\x08 this is no model")
        self.fails_and_version_1_serves_on(12, grpc.StatusCode.INVALID_ARGUMENT, "model.onnx")

    def test_nan_among_the_weights(self):
        self.MODEL.write(self.daemon.repository / "mlp", 13, poison=np.nan)
        details = self.fails_and_version_1_serves_on(13, grpc.StatusCode.INVALID_ARGUMENT, "w0", "NaN")
        self.reason_is_kept(13, [details])

    def test_golden_requests_that_are_not_met(self):
        self.MODEL.write(self.daemon.repository / "mlp", 14)
        golden = self.daemon.repository / "mlp/14/golden"
        golden.mkdir(exist_ok=True)

        def write(outputs):
            document = {
                "inputs": {"x": {"dtype": "f32", "shape": [1, 64], "data": self.x.ravel().tolist()}},
                "outputs": {"y": {"dtype": "f32", "shape": [1, 16], "data": outputs.tolist()}},
            }
            (golden / "one.json").write_text(json.dumps(document))

        write(self.wanted(15))
        details = self.fails_and_version_1_serves_on(14, grpc.StatusCode.FAILED_PRECONDITION, "golden/one.json", "'y'")
        self.reason_is_kept(14, [details])
        write(self.wanted(14))
        self.daemon.load("mlp", 14)
        self.assertEqual(self.ask(version=14).version, 14)

    def test_a_version_that_does_not_fit(self):
        large = MlpModel([64, 2600, 2600, 16], seed=7)  # 28 MB: more than the capacity.
        large.write(self.daemon.repository / "mlp", 16)
        self.fails_and_version_1_serves_on(16, grpc.StatusCode.RESOURCE_EXHAUSTED)
        details = self.refused(grpc.StatusCode.RESOURCE_EXHAUSTED, self.daemon.load, "mlp", 16)
        numbers = [int(word.strip(".,;:()")) for word in details.split() if word.strip(".,;:()").isdigit()]
        self.assertTrue(any(number >= large.parameter_bytes for number in numbers), details)
        self.assertTrue(any(0 < number < 24 << 20 for number in numbers), details)
        plans = self.daemon.load("mlp", 16, dry_run=True)[-1].outcome.plans
        self.assertFalse(plans[0].fits)
        self.assertGreater(plans[0].needed_bytes, plans[0].left_bytes)
        self.assertIsNone(self.daemon.metric('paramd_version_info{model="mlp",version="16"}'))

    def test_a_dry_run_loads_nothing(self):
        before = self.daemon.metric("paramd_store_sealed_bytes")
        outcome = self.daemon.load("mlp", 2, dry_run=True)[-1].outcome
        self.assertTrue(outcome.dry_run)
        self.assertTrue(outcome.plans[0].fits)
        self.assertGreaterEqual(outcome.plans[0].parameter_bytes, self.MODEL.parameter_bytes)
        self.assertEqual(self.daemon.metric("paramd_store_sealed_bytes"), before)
        loaded = self.daemon.version("mlp", 2)
        self.assertTrue(loaded is None or loaded.generation == 0)

    def test_verify_hashes_what_is_in_memory(self):
        reports = self.daemon.admin.Verify(admin_pb2.VerifyRequest(model="mlp"), timeout=PATIENCE_S).reports
        self.assertEqual([(r.version, r.intact) for r in reports], [(1, True)])
        self.assertGreaterEqual(reports[0].bytes, self.MODEL.parameter_bytes)

    def test_the_command_line(self):
        load = self.daemon.paramctl("load", "mlp", "2")
        self.assertIn("mlp version 2 serves", load.stdout)
        self.assertIn("mlp version 2: ", load.stderr)
        self.assertEqual(self.daemon.paramctl("promote", "mlp", "2").stdout, "default of mlp is version 2, was version 1\n")
        self.assertEqual(self.ask().version, 2)
        state = self.daemon.paramctl("state").stdout
        self.assertIn("default", state)
        self.assertIn("auto-promote is off", state)
        self.assertEqual(self.daemon.paramctl("rollback", "mlp").stdout, "default of mlp is version 1, was version 2\n")
        self.assertEqual(self.ask().version, 1)
        self.assertEqual(json.loads(self.daemon.paramctl("state", "mlp", "--json").stdout)["models"][0]["model"], "mlp")
        self.assertIn("intact", self.daemon.paramctl("verify", "mlp").stdout)
        self.assertIn("fits", self.daemon.paramctl("load", "mlp", "2", "--dry-run").stdout)
        missing = self.daemon.paramctl("load", "mlp", "98", check=False)
        self.assertEqual(missing.returncode, 1)
        self.assertTrue(missing.stderr.splitlines()[-1].startswith("paramctl: NOT_FOUND: "), missing.stderr)
        self.daemon.paramctl("unload", "mlp", "2")

    def test_admin_calls_are_not_taken_on_tcp_unless_asked_for(self):
        stub = admin_pb2_grpc.ModelAdminStub(self.channel)
        with self.assertRaises(grpc.RpcError) as raised:
            stub.GetState(admin_pb2.GetStateRequest(), timeout=PATIENCE_S)
        self.assertEqual(raised.exception.code(), grpc.StatusCode.UNIMPLEMENTED)
        self.assertEqual(os.stat(self.daemon.socket).st_mode & 0o777, 0o600)


class InterruptedLoadTest(unittest.TestCase):
    """A load that takes seconds, because reading is held to a rate; what can happen meanwhile."""

    MODEL = MlpModel([64, 1024, 1024, 16], seed=8)

    def setUp(self):
        self.daemon = Daemon("--load-rate-max", "2MiB")
        self.MODEL.write(self.daemon.repository / "mlp", 1)
        self.daemon.start()
        self.addCleanup(self.daemon.stop)
        self.MODEL.write(self.daemon.repository / "mlp", 2)
        self.x = np.random.default_rng(2).standard_normal((1, 64), np.float32)

    def start_loading(self):
        """Returns the stream when version 2 has read some of its bytes."""
        stream = self.daemon.admin.Load(admin_pb2.LoadRequest(model="mlp", version=2), timeout=PATIENCE_S)
        for message in stream:
            if message.progress.bytes_done > 0:
                return stream
        raise AssertionError("the load ended without progress")

    def test_a_file_that_is_rewritten_while_it_is_read(self):
        path = self.daemon.repository / "mlp/2/model.onnx"
        with Load(self.daemon.process.grpc, "mlp", self.x, threads=1) as load:
            stream = self.start_loading()
            with open(path, "r+b") as file:  # In place, as nobody should.
                file.write(file.read(1))
            with self.assertRaises(grpc.RpcError) as raised:
                list(stream)
            load.wait_for(2)
        self.assertEqual(raised.exception.code(), grpc.StatusCode.DATA_LOSS)
        self.assertIn("written while it was read", raised.exception.details())
        self.assertEqual({(a.error, a.version) for a in load.answers}, {(None, 1)})

    def test_a_worker_that_is_killed_in_the_middle_of_a_load(self):
        generation = self.daemon.version("mlp", 1).generation
        pid = self.daemon.worker_pid()
        service = {"methodConfig": [{"name": [{}], "retryPolicy": {"maxAttempts": 5, "initialBackoff": "0.01s",
                   "maxBackoff": "1s", "backoffMultiplier": 2, "retryableStatusCodes": ["UNAVAILABLE"]}}]}  # fmt: skip
        options = [("grpc.enable_retries", 1), ("grpc.service_config", json.dumps(service))]
        with grpc.insecure_channel(self.daemon.process.grpc, options) as channel:
            stub = predict_pb2_grpc.PredictServiceStub(channel)
            request = predict_pb2.PredictRequest(
                model="mlp", inputs=[predict_pb2.Tensor(name="x", shape=self.x.shape, raw=self.x.tobytes())]
            )
            stub.Predict(request, timeout=PATIENCE_S)
            stream = self.start_loading()
            os.kill(pid, signal.SIGKILL)
            with self.assertRaises(grpc.RpcError):
                list(stream)
            answer = stub.Predict(request, timeout=PATIENCE_S, wait_for_ready=True)
            # The same load of the same weights, from memory; the one that was killed comes again by itself.
            self.assertEqual((answer.version, answer.generation), (1, generation))
            output = np.frombuffer(answer.outputs[0].raw, np.float32)
            self.assertLessEqual(relative_error(output, self.MODEL.answer(1, self.x).ravel()), TOLERANCE)
            until(lambda: stub.Predict(request, timeout=PATIENCE_S).version == 2, "version 2 serves and is the default")
        self.assertNotEqual(self.daemon.worker_pid(), pid)


class WatchTest(unittest.TestCase):
    """--watch: what lies in the folder is what is served; and admin calls over TCP, which were asked for."""

    MODEL = MlpModel([16, 32, 4], seed=9)

    def setUp(self):
        self.daemon = Daemon("--watch", "--admin-on-tcp")
        self.MODEL.write(self.daemon.repository / "mlp", 1)
        self.daemon.start()
        self.addCleanup(self.daemon.stop)

    def default(self):
        return next((n.version for n in self.daemon.state("mlp").names if n.name == "default"), 0)

    def test_new_versions_flips_and_new_models(self):
        self.MODEL.write(self.daemon.repository / "mlp", 2)
        until(lambda: self.default() == 2, "version 2 is seen and promoted")
        # As git-sync and ConfigMaps do it: a new folder, and a link that is renamed over the old one.
        store = self.daemon.repository / ".store"
        for number, version in enumerate((3, 4)):
            content = store / f"commit{number}"
            content.mkdir(parents=True)
            (content / "model.onnx").write_bytes(self.MODEL.onnx(version))
        target = self.daemon.repository / "mlp/5"
        target.symlink_to("../.store/commit0")
        until(lambda: self.default() == 5, "a version that is a link is seen")
        before = self.daemon.version("mlp", 5).weights_id
        flipped = self.daemon.repository / "mlp/.flip"
        flipped.symlink_to("../.store/commit1")
        os.rename(flipped, target)
        until(lambda: self.daemon.version("mlp", 5).weights_id not in (before, ""), "the flip is seen")
        self.MODEL.write(self.daemon.repository / "other", 1)
        until(lambda: len(self.daemon.admin.GetState(admin_pb2.GetStateRequest()).models) == 2, "a new model is seen")

    def test_a_link_on_the_way_to_the_repository_is_flipped(self):
        """git-sync: <root>/current -> .worktrees/<commit>; the repository is a folder of the commit."""
        daemon = Daemon("--watch")
        root = pathlib.Path(daemon.folder.name)
        self.MODEL.write(root / ".worktrees/aaaa/models/mlp", 1)
        (root / "current").symlink_to(".worktrees/aaaa")
        daemon.repository = root / "current/models"
        daemon.start()
        self.addCleanup(daemon.stop)
        for version in (1, 2):
            self.MODEL.write(root / ".worktrees/bbbb/models/mlp", version)
        (root / "current.new").symlink_to(".worktrees/bbbb")
        os.rename(root / "current.new", root / "current")
        shutil.rmtree(root / ".worktrees/aaaa")
        until(lambda: [n.version for n in daemon.state("mlp").names] == [2], "the new commit's version is the default")

    def test_admin_calls_are_taken_on_tcp_when_asked_for(self):
        with grpc.insecure_channel(self.daemon.process.grpc) as channel:
            state = admin_pb2_grpc.ModelAdminStub(channel).GetState(admin_pb2.GetStateRequest(), timeout=PATIENCE_S)
        self.assertEqual(state.models[0].model, "mlp")

    def test_a_bad_version_leaves_the_good_one_and_is_tried_again_when_it_changes(self):
        write_version(self.daemon.repository / "mlp", 2, self.MODEL.onnx(2)[:-50])
        failed = until(
            lambda: (v := self.daemon.version("mlp", 2)) and v.state == model_pb2.VERSION_STATE_FAILED and v, "2 failed"
        )
        self.assertTrue(failed.reason)
        self.assertEqual(self.default(), 1)
        self.MODEL.write(self.daemon.repository / "mlp", 2)
        until(lambda: self.default() == 2, "version 2 is tried again when its file is whole")


if __name__ == "__main__":
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    random.seed(seed)
    unittest.main()
