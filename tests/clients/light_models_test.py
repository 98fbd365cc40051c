"""AlexNet, SqueezeNet and ResNet-50: answers against ONNX Runtime, counts, and what AlexNet adds to memory.

The models are ONNX's light ones with seeded weights (tests/bench/make_models.py), made once into the user's cache.
"""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

import grpc
import numpy as np
import onnxruntime
from messages import model_pb2, model_pb2_grpc, predict_pb2, predict_pb2_grpc
from paramd_process import PATIENCE_S, ROOT, ParamdProcess

NAMES = ("alexnet", "squeezenet", "resnet50")
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "paramd/bench-models"
SEED = 20261124
ALEXNET_BYTES = 60_965_224 * 4


def model_file(name):
    return CACHE / name / "1/model.onnx"


def place(name, folder):
    """The model in a repository's folder: a name more where the file system allows it, else a copy."""
    folder.mkdir(parents=True)
    try:
        os.link(model_file(name), folder / "model.onnx")
    except OSError:
        shutil.copy(model_file(name), folder / "model.onnx")


def resident_bytes(daemon):
    for line in pathlib.Path(f"/proc/{daemon.process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmRSS")


class Client:
    def __init__(self, daemon):
        self.channel = grpc.insecure_channel(daemon.grpc, options=[("grpc.max_receive_message_length", -1)])
        self.predictions = predict_pb2_grpc.PredictServiceStub(self.channel)
        self.models = model_pb2_grpc.ModelServiceStub(self.channel)

    def predict(self, model, images, **fields):
        info = self.models.GetModelInfo(model_pb2.GetModelInfoRequest(model=model))
        tensor = predict_pb2.Tensor(name=info.inputs[0].name, shape=images.shape, raw=images.tobytes())
        request = predict_pb2.PredictRequest(model=model, inputs=[tensor], **fields)
        output = self.predictions.Predict(request, timeout=PATIENCE_S).outputs[0]
        return np.frombuffer(output.raw, np.float32).reshape(output.shape)

    def wait_for_every_version(self, model, versions):
        """Ready means that a version serves; this waits for all of them."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            states = {v.version: v.state for v in self.info(model).versions}
            if all(states.get(version) == model_pb2.VERSION_STATE_SERVING for version in versions):
                return
            time.sleep(0.05)
        raise AssertionError(f"not every version of {model} serves: {states}")

    def info(self, model, **fields):
        return self.models.GetModelInfo(model_pb2.GetModelInfoRequest(model=model, **fields))


class LightModelsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        subprocess.run([sys.executable, str(ROOT / "tests/bench/make_models.py"), *NAMES], check=True)
        cls.random = np.random.default_rng(SEED)
        print("seed", SEED)

    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="paramd-light-", dir=CACHE)
        self.addCleanup(scratch.cleanup)
        self.repository = pathlib.Path(scratch.name)

    def images(self, rows):
        return self.random.standard_normal((rows, 3, 224, 224), np.float32)

    def test_answers_are_onnxruntimes_at_batch_1_3_and_8(self):
        for name in NAMES:
            place(name, self.repository / name / "1")
        with ParamdProcess(self.repository) as daemon:
            client = Client(daemon)
            for name in NAMES:
                session = onnxruntime.InferenceSession(str(model_file(name)), providers=["CPUExecutionProvider"])
                for rows in (1, 3, 8):
                    images = self.images(rows)
                    wanted = session.run(None, {session.get_inputs()[0].name: images})[0]
                    got = client.predict(name, images)
                    with self.subTest(model=name, rows=rows):
                        self.assertEqual(got.shape, wanted.shape)
                        self.assertLessEqual(float(np.abs(got - wanted).max() / np.abs(wanted).max()), 1e-4)
                        got_top, wanted_top = (a.reshape(rows, -1).argmax(axis=1) for a in (got, wanted))
                        np.testing.assert_array_equal(got_top, wanted_top)
            counts = client.info("alexnet").counts
            self.assertEqual(counts.weights, 60_954_656)
            self.assertEqual(counts.biases, 10_568)

    def test_alexnet_adds_its_bytes_once_and_four_versions_add_them_once_too(self):
        self.repository.joinpath("nothing").mkdir()
        with ParamdProcess(self.repository / "nothing") as daemon:
            without = resident_bytes(daemon)
        one = self.repository / "one"
        place("alexnet", one / "alexnet/1")
        four = self.repository / "four"
        for version in (1, 2, 3, 4):
            place("alexnet", four / f"alexnet/{version}")
        (four / "alexnet/config.pbtxt").write_text("version_policy { all {} }\n")
        for repository, versions, limit in ((one, (1,), 1.15), (four, (1, 2, 3, 4), 1.2)):
            with ParamdProcess(repository) as daemon:
                client = Client(daemon)
                client.wait_for_every_version("alexnet", versions)
                image = self.images(1)
                answers = [client.predict("alexnet", image, version=version) for version in versions]
                for answer in answers[1:]:
                    np.testing.assert_array_equal(answer, answers[0])
                added = (resident_bytes(daemon) - without) / ALEXNET_BYTES
                print(f"{len(versions)} of AlexNet add {added:.3f} times its bytes")
                with self.subTest(versions=len(versions)):
                    self.assertLessEqual(added, limit)
                    memory = client.info("alexnet").memory
                    self.assertLess(memory.unique_bytes + memory.shared_bytes, 1.05 * ALEXNET_BYTES)


if __name__ == "__main__":
    unittest.main(verbosity=2)
