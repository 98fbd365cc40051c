"""ONNX's nine light models and EfficientNet-Lite0 answer as ONNX Runtime does; counts; what AlexNet and a fine-tune of
it add to memory; and what paramd counts of its memory against what the system counts.

The light models have seeded weights (tests/bench/make_models.py), made once into the user's cache.
"""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request

import grpc
import numpy as np
import onnx
import onnx.numpy_helper
import onnxruntime
from messages import model_pb2, model_pb2_grpc, predict_pb2, predict_pb2_grpc
from paramd_process import PATIENCE_S, ROOT, ParamdProcess, children

NAMES = ("alexnet", "squeezenet", "resnet50")
OTHERS = ("vgg19", "densenet121", "inception_v1", "inception_v2", "shufflenet", "zfnet512")
EFFICIENTNET = "efficientnet-lite0"
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "paramd/bench-models"
SEED = 20261124
ALEXNET_BYTES = 60_965_224 * 4


def model_file(name):
    if name == EFFICIENTNET:
        return ROOT / "tests/golden" / name / "model.onnx"
    return CACHE / name / "1/model.onnx"


def place(name, folder):
    """The model in a repository's folder: a name more where the file system allows it, else a copy."""
    folder.mkdir(parents=True)
    try:
        os.link(model_file(name), folder / "model.onnx")
    except OSError:
        shutil.copy(model_file(name), folder / "model.onnx")


def processes(daemon):
    """The keeper and its worker, or the one process that is both."""
    return [daemon.process.pid, *children(daemon.process.pid)]


def status_bytes(daemon, *keys):
    """The sum of these lines of /proc/PID/status over all processes."""
    total = 0
    for pid in processes(daemon):
        for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.partition(":")[0] in keys:
                total += int(line.split()[1]) * 1024
    return total


def memfd_bytes(daemon):
    """Blocks of parameter segments, each inode once, whoever has its descriptor."""
    blocks = {}
    for pid in processes(daemon):
        for entry in os.scandir(f"/proc/{pid}/fd"):
            try:
                if os.readlink(entry.path).startswith("/memfd:paramd"):
                    found = os.stat(entry.path)
                    blocks[found.st_dev, found.st_ino] = found.st_blocks * 512
            except OSError:  # Closed just now.
                continue
    return sum(blocks.values())


def resident_bytes(daemon):
    """What the system counts: every process's own pages, and parameters once."""
    return status_bytes(daemon, "RssAnon", "RssFile") + memfd_bytes(daemon)


def metric(daemon, name, **labels):
    with urllib.request.urlopen(f"http://{daemon.metrics}/metrics", timeout=PATIENCE_S) as answer:
        text = answer.read().decode()
    wanted = "{" + ",".join(f'{key}="{value}"' for key, value in labels.items()) + "}" if labels else ""
    for line in text.splitlines():
        if line.startswith(f"{name}{wanted} "):
            return float(line.split()[-1])
    raise AssertionError(f"no {name}{wanted}")


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
        subprocess.run([sys.executable, str(ROOT / "tests/bench/make_models.py"), *NAMES, *OTHERS], check=True)
        cls.random = np.random.default_rng(SEED)
        print("seed", SEED)

    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="paramd-light-", dir=CACHE)
        self.addCleanup(scratch.cleanup)
        self.repository = pathlib.Path(scratch.name)

    def images(self, rows):
        return self.random.standard_normal((rows, 3, 224, 224), np.float32)

    def compare(self, client, name, batches):
        session = onnxruntime.InferenceSession(str(model_file(name)), providers=["CPUExecutionProvider"])
        for rows in batches:
            images = self.images(rows)
            wanted = session.run(None, {session.get_inputs()[0].name: images})[0]
            got = client.predict(name, images)
            with self.subTest(model=name, rows=rows):
                self.assertEqual(got.shape, wanted.shape)
                self.assertLessEqual(float(np.abs(got - wanted).max() / np.abs(wanted).max()), 1e-4)
                got_top, wanted_top = (a.reshape(rows, -1).argmax(axis=1) for a in (got, wanted))
                np.testing.assert_array_equal(got_top, wanted_top)

    def test_answers_are_onnxruntimes_at_batch_1_3_and_8(self):
        for name in NAMES:
            place(name, self.repository / name / "1")
        with ParamdProcess(self.repository) as daemon:
            client = Client(daemon)
            for name in NAMES:
                self.compare(client, name, (1, 3, 8))
            counts = client.info("alexnet").counts
            self.assertEqual(counts.weights, 60_954_656)
            self.assertEqual(counts.biases, 10_568)

    def test_the_others_answer_as_onnxruntime_does_at_batch_1_and_3(self):
        for name in (*OTHERS, EFFICIENTNET):  # One after the other: VGG-19 alone has 575 MB.
            repository = self.repository / f"only-{name}"
            place(name, repository / name / "1")
            with ParamdProcess(repository) as daemon:
                self.compare(Client(daemon), name, (1, 3))

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

    def test_a_new_last_layer_of_alexnet_adds_that_layer(self):
        """16.4 MB of weights and biases; in oneDNN's layout, where a row of 1,000 columns has 1,024 places, 16.8 MB."""
        place("alexnet", self.repository / "alexnet/1")
        with ParamdProcess(self.repository) as daemon:
            one = metric(daemon, "paramd_store_sealed_bytes")
        model = onnx.load(str(model_file("alexnet")))
        changed = 0
        for tensor in model.graph.initializer:
            if list(tensor.dims) in ([1000, 4096], [1000]):
                values = self.random.standard_normal(tuple(tensor.dims), np.float32) * 0.01
                tensor.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float32), tensor.name))
                changed += values.size
        self.assertEqual(changed, 4_096_000 + 1_000)
        (self.repository / "alexnet/2").mkdir()
        onnx.save(model, str(self.repository / "alexnet/2/model.onnx"))
        del model
        (self.repository / "alexnet/config.pbtxt").write_text("version_policy { all {} }\n")
        with ParamdProcess(self.repository) as daemon:
            client = Client(daemon)
            client.wait_for_every_version("alexnet", (1, 2))
            added = metric(daemon, "paramd_store_sealed_bytes") - one
            memory = client.info("alexnet", version=2).memory
        print(f"the second version of AlexNet adds {added:.0f} bytes")
        # The weights as they are packed, the page of the biases, and the manifest's few.
        self.assertGreaterEqual(added, 4_097_000 * 4)
        self.assertLessEqual(added, 4096 * 1024 * 4 + 64 * 1024)
        self.assertLessEqual(memory.unique_bytes, 4096 * 1024 * 4 + 64 * 1024)

    def test_what_paramd_counts_is_what_the_system_counts(self):
        place("alexnet", self.repository / "alexnet/1")
        with ParamdProcess(self.repository) as daemon:
            Client(daemon).predict("alexnet", self.images(8))
            lines = {
                kind: metric(daemon, "paramd_memory_ledger_bytes", kind=kind)
                for kind in ("parameters", "allocator", "arenas", "baseline")
            }
            keeper = 0
            if len(processes(daemon)) > 1:  # The keeper has no metrics: a baseline is all it is.
                status = pathlib.Path(f"/proc/{daemon.process.pid}/status").read_text()
                keeper = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon:")) * 1024
            system = status_bytes(daemon, "RssAnon") + memfd_bytes(daemon)
        ledger = sum(lines.values()) + keeper
        print(f"paramd counts {ledger:.0f} bytes {lines}, keeper {keeper}; the system {system}: {ledger / system:.4f}")
        self.assertGreaterEqual(lines["parameters"], 200e6)
        self.assertLessEqual(abs(ledger / system - 1), 0.05)


if __name__ == "__main__":
    unittest.main(verbosity=2)
