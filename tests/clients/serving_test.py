"""What clients see of a daemon: answers, model info, errors, health, reflection, metrics, ports, the end."""
import json
import random
import shutil
import subprocess
import unittest
import urllib.error
import urllib.request

import grpc
import numpy as np
from daemon_case import DaemonCase
from messages import model_pb2, model_pb2_grpc, predict_pb2, predict_pb2_grpc
from paramd_process import PARAMCTL, PATIENCE_S, ROOT, ParamdProcess

MODELS = ROOT / "deploy/models"
GOLDEN = ROOT / "tests/golden/efficientnet-lite0"
PREDICT = "/paramd.v1.PredictService/Predict"


def samples(model):
    document = json.loads((MODELS / model / "samples.json").read_text())
    return document, [(np.float32(s[document["input"]]), np.float32(s[document["output"]])) for s in document["samples"]]


def tensor(name, array, **fields):
    return predict_pb2.Tensor(name=name, shape=array.shape, raw=np.ascontiguousarray(array).tobytes(), **fields)


def relative_error(got, wanted):
    return float(np.abs(got - wanted).max() / np.abs(wanted).max())


class ServingTest(DaemonCase):
    """One daemon for all of them: a repository with the sample models, a golden one, and a broken one."""

    @classmethod
    def fill(cls, repository):
        for model in ("house-price", "digits"):
            shutil.copytree(MODELS / model, repository / model)
        (repository / "efficientnet-lite0/1").mkdir(parents=True)
        shutil.copy(GOLDEN / "model.onnx", repository / "efficientnet-lite0/1/model.onnx")
        (repository / "broken/1").mkdir(parents=True)
        (repository / "broken/1/model.onnx").write_bytes(b"\x08\x08 this is no model")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.stub = predict_pb2_grpc.PredictServiceStub(cls.channel)
        cls.models = model_pb2_grpc.ModelServiceStub(cls.channel)

    def predict(self, model, name, array, **fields):
        request = predict_pb2.PredictRequest(model=model, inputs=[tensor(name, array)], **fields)
        return self.stub.Predict(request, timeout=PATIENCE_S)

    def output(self, answer, index=0):
        return np.frombuffer(answer.outputs[index].raw, np.float32).reshape(answer.outputs[index].shape)

    def refused(self, code, call, *arguments, **fields):
        with self.assertRaises(grpc.RpcError) as raised:
            call(*arguments, **fields)
        self.assertEqual(raised.exception.code(), code, raised.exception.details())
        return raised.exception.details()

    def test_recorded_answers_of_the_sample_models(self):
        for model in ("house-price", "digits"):
            document, pairs = samples(model)
            batch = np.stack([given for given, _ in pairs])
            wanted = np.stack([np.atleast_1d(answer) for _, answer in pairs])
            with self.subTest(model=model, rows=len(batch)):
                answer = self.predict(model, document["input"], batch)
                self.assertEqual(answer.outputs[0].name, document["output"])
                self.assertLessEqual(relative_error(self.output(answer), wanted), 1e-5)
            for row in range(len(batch)):
                with self.subTest(model=model, row=row):
                    answer = self.predict(model, document["input"], batch[row : row + 1])
                    self.assertLessEqual(relative_error(self.output(answer), wanted[row : row + 1]), 1e-5)

    def test_recorded_answers_of_efficientnet(self):
        for expected in json.loads((GOLDEN / "expected.json").read_text()):
            with self.subTest(input=expected["input"]):
                answer = self.predict("efficientnet-lite0", "image", np.load(GOLDEN / expected["input"]))
                probabilities = self.output(answer)[0]
                self.assertEqual(np.argsort(-probabilities)[:5].tolist(), expected["top5"])
                self.assertLessEqual(relative_error(probabilities[expected["top5"]], np.float32(expected["p"])), 1e-4)

    def test_typed_values_are_the_raw_ones(self):
        request = predict_pb2.PredictRequest(
            model="house-price",
            typed_outputs=True,
            request_id="typed-1",
            inputs=[predict_pb2.Tensor(name="features", shape=[2, 2], f32=[6100, 3, 4600, 2])],
        )
        typed = self.stub.Predict(request, timeout=PATIENCE_S)
        raw = self.predict("house-price", "features", np.float32([[6100, 3], [4600, 2]]))
        self.assertEqual(typed.request_id, "typed-1")
        self.assertEqual(typed.outputs[0].raw, b"")
        self.assertEqual(list(typed.outputs[0].f32), self.output(raw).ravel().tolist())
        self.assertEqual((typed.generation, typed.weights_id), (raw.generation, raw.weights_id))
        self.assertRegex(typed.weights_id, "^[0-9a-f]{64}$")

    def test_model_info_counts_weights_and_biases(self):
        for model, weights, biases in (("house-price", 2, 1), ("digits", 9472, 138)):
            with self.subTest(model=model):
                info = self.models.GetModelInfo(
                    model_pb2.GetModelInfoRequest(model=model, include_parameters=True, include_ops=True),
                    timeout=PATIENCE_S,
                )
                self.assertEqual(info.counts.parameters, weights + biases)
                self.assertEqual((info.counts.weights, info.counts.biases), (weights, biases))
                self.assertEqual(info.inputs[0].shape[0].WhichOneof("kind"), "symbol")
                self.assertTrue(all(parameter.frozen for parameter in info.parameters))
                self.assertEqual(sum(p.count for p in info.parameters), weights + biases)
                self.assertTrue(all(op.backend for op in info.ops))
                self.assertEqual(info.versions[0].state, model_pb2.VERSION_STATE_SERVING)

    def test_errors_say_what_was_expected(self):
        row = np.float32([[6100, 3]])
        code = grpc.StatusCode
        self.refused(code.NOT_FOUND, self.predict, "no-such-model", "features", row)
        self.refused(code.NOT_FOUND, self.predict, "house-price", "features", row, version=9)
        self.refused(code.NOT_FOUND, self.predict, "house-price", "features", row, label="canary")
        self.assertIn("pixels", self.refused(code.INVALID_ARGUMENT, self.predict, "digits", "pixel", row))
        details = self.refused(code.INVALID_ARGUMENT, self.predict, "digits", "pixels", np.zeros((1, 63), np.float32))
        self.assertIn("63", details)
        self.assertIn("64", details)
        self.refused(code.INVALID_ARGUMENT, self.predict, "house-price", "features", np.float64([[6100, 3]]))
        self.refused(code.INVALID_ARGUMENT, self.predict, "house-price", "features", row, outputs=["nothing"])

    def test_a_model_that_fails_to_load_stays_beside_those_that_serve(self):
        listed = {model.model: model for model in self.models.ListModels(model_pb2.ListModelsRequest()).models}
        self.assertTrue(listed["digits"].ready)
        self.assertFalse(listed["broken"].ready)
        self.refused(grpc.StatusCode.NOT_FOUND, self.predict, "broken", "x", np.float32([1]))
        info = self.models.GetModelInfo(model_pb2.GetModelInfoRequest(model="broken"), timeout=PATIENCE_S)
        self.assertEqual(info.versions[0].state, model_pb2.VERSION_STATE_FAILED)
        self.assertTrue(info.versions[0].reason)

    def test_no_path_reaches_a_client(self):
        info = self.models.GetModelInfo(model_pb2.GetModelInfoRequest(model="broken"), timeout=PATIENCE_S)
        self.assertNotIn(str(self.repository), str(info))

    def test_a_thousand_malformed_requests_between_good_ones(self):
        """Damaged bytes get an error or, where the damage does no harm, an answer; good requests stay right."""
        seed = random.SystemRandom().randrange(1 << 32)
        print(f"seed {seed}")
        noise = random.Random(seed)
        document, pairs = samples("digits")
        batch = np.stack([given for given, _ in pairs])
        wanted = np.stack([answer for _, answer in pairs])
        good = predict_pb2.PredictRequest(model="digits", inputs=[tensor("pixels", batch)]).SerializeToString()
        send = self.channel.unary_unary(PREDICT)
        allowed = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.DEADLINE_EXCEEDED}
        for number in range(1000):
            bad = bytearray(good)
            damage = noise.randrange(4)
            if damage == 0:
                del bad[noise.randrange(len(bad)) :]
            elif damage == 1:
                for _ in range(noise.randint(1, 20)):
                    bad[noise.randrange(min(len(bad), 64))] = noise.randrange(256)
            elif damage == 2:
                bad[noise.randrange(64) : 0] = noise.randbytes(noise.randint(1, 40))
            else:
                bad = bytearray(noise.randbytes(noise.randrange(200)))
            try:
                send(bytes(bad), timeout=PATIENCE_S)
            except grpc.RpcError as error:
                self.assertIn(error.code(), allowed, f"seed {seed} number {number}: {error.details()}")
            if number % 20 == 0:
                answer = predict_pb2.PredictResponse.FromString(send(good, timeout=PATIENCE_S))
                self.assertLessEqual(relative_error(self.output(answer), wanted), 1e-5)

    def test_health_of_the_daemon_and_of_each_model(self):
        # The standard messages, by hand: field 1 of the request is the service, field 1 of the answer its status.
        check = self.channel.unary_unary("/grpc.health.v1.Health/Check")

        def health(service):
            request = bytes([0x0A, len(service)]) + service.encode() if service else b""
            return check(request, timeout=PATIENCE_S)

        serving, not_serving = b"\x08\x01", b"\x08\x02"
        self.assertEqual(health(""), serving)  # A model that failed does not hold up the others.
        self.assertEqual(health("digits"), serving)
        self.assertEqual(health("broken"), not_serving)
        self.refused(grpc.StatusCode.NOT_FOUND, health, "no-such-model")

    def test_metrics_health_and_status_pages(self):
        self.predict("house-price", "features", np.float32([[6100, 3]]))
        page = urllib.request.urlopen(f"http://{self.daemon.metrics}/metrics", timeout=PATIENCE_S).read().decode()
        self.assertRegex(page, r'(?m)^paramd_requests_total\{[^}]*model="house-price"[^}]*\} [1-9]')
        self.assertIn("paramd_build_info", page)
        health = urllib.request.urlopen(f"http://{self.daemon.metrics}/healthz", timeout=PATIENCE_S)
        self.assertEqual(health.status, 200)
        status = urllib.request.urlopen(f"http://{self.daemon.metrics}/statusz", timeout=PATIENCE_S).read().decode()
        for model in ("house-price", "digits", "efficientnet-lite0", "broken"):
            self.assertIn(model, status)
        with self.assertRaises(urllib.error.HTTPError):
            urllib.request.urlopen(f"http://{self.daemon.metrics}/etc/passwd", timeout=PATIENCE_S)

    def test_promtool_accepts_the_metrics(self):
        promtool = shutil.which("promtool")
        if promtool is None:
            self.skipTest("no promtool; deploy/install-packages test brings it")
        page = urllib.request.urlopen(f"http://{self.daemon.metrics}/metrics", timeout=PATIENCE_S).read()
        # Triton's names are not Prometheus' style, and are not ours to choose.
        page = b"".join(line for line in page.splitlines(keepends=True) if b"nv_inference_" not in line)
        verdict = subprocess.run([promtool, "check", "metrics"], input=page, capture_output=True)
        self.assertEqual((verdict.returncode, verdict.stdout, verdict.stderr), (0, b"", b""))

    def test_a_second_daemon_on_a_taken_port_fails_at_once(self):
        for place in ("grpc", "metrics"):
            with self.subTest(port=place):
                second = ParamdProcess(MODELS, **{place: getattr(self.daemon, place)})
                self.assertNotEqual(second.process.wait(PATIENCE_S), 0)
                second.stop()
                self.assertIn(getattr(self.daemon, place), "".join(second.log))

    def test_an_expired_deadline_is_not_computed(self):
        details = self.refused(
            grpc.StatusCode.DEADLINE_EXCEEDED, self.predict, "efficientnet-lite0", "image",
            np.zeros((64, 3, 224, 224), np.float32), timeout_us=1,
        )  # fmt: skip
        self.assertTrue(details)

    def test_paramctl_speaks_json(self):
        def paramctl(*arguments):
            command = [PARAMCTL, "--address", self.daemon.grpc, "--json", *arguments]
            return json.loads(subprocess.run(command, capture_output=True, check=True, timeout=PATIENCE_S).stdout)

        self.assertIn("digits", json.dumps(paramctl("models")))
        self.assertIn("9472", json.dumps(paramctl("info", "digits")))


if __name__ == "__main__":
    unittest.main(verbosity=2)
