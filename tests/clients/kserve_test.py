"""KServe V2 as its clients speak it: every RPC through tritonclient, alone, from asyncio and in streams, good and bad."""
import asyncio
import json
import os
import pathlib
import queue
import re
import shutil
import threading
import unittest
import urllib.request

import grpc
import kserve_models
import ml_dtypes
import numpy as np
import onnxruntime
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
import tritonclient.utils.shared_memory as shm
from daemon_case import DaemonCase
from paramd_process import PATIENCE_S, ROOT
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException, serialize_byte_tensor

MODELS = ROOT / "deploy/models"
WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven"]
NUMPY = {
    "BOOL": np.bool_,
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "FP16": np.float16,
    "FP32": np.float32,
    "FP64": np.float64,
}


def write_model(repository, name, version, content, config=None):
    folder = pathlib.Path(repository) / name / str(version)
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(content)
    if config is not None:
        (folder.parent / "config.pbtxt").write_text(config)


def infer_input(name, array, datatype):
    tensor = triton.InferInput(name, list(array.shape), datatype)
    tensor.set_data_from_numpy(array)
    return tensor


def samples(model):
    document = json.loads((MODELS / model / "samples.json").read_text())
    given = np.stack([np.float32(s[document["input"]]) for s in document["samples"]])
    wanted = np.stack([np.atleast_1d(np.float32(s[document["output"]])) for s in document["samples"]])
    return document["input"], document["output"], given, wanted


class DeploymentTest(unittest.TestCase):
    """deploy/kserve is started by a cluster, so here only what can be read is checked."""

    def test_options_of_the_runtime_exist(self):
        known = set(re.findall(r"`--([a-z-]+)", (ROOT / "server/config/CONFIG.md").read_text()))
        runtime = (ROOT / "deploy/kserve/serving-runtime.yaml").read_text()
        used = re.findall(r"- --([a-z-]+)=", runtime)
        self.assertIn("model-repository", used)
        self.assertEqual(set(used) - known, set())
        service = (ROOT / "deploy/kserve/inference-service.yaml").read_text()
        name = re.search(r"kind: ServingRuntime\nmetadata:\n  name: (\S+)", runtime)[1]
        self.assertIn(f"runtime: {name}\n", service)


class KServeCase(DaemonCase):
    """A daemon, and tritonclient connected to it: as anybody, and as its operator."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.client = triton.InferenceServerClient(cls.daemon.grpc)
        cls.operator = triton.InferenceServerClient("unix:" + cls.daemon.admin_socket)
        cls.stub = service_pb2_grpc.GRPCInferenceServiceStub(cls.channel)

    @classmethod
    def tearDownClass(cls):
        cls.client.close()
        cls.operator.close()
        super().tearDownClass()

    def refused(self, code, call, *arguments, **fields):
        """tritonclient's exception, of this status; returns the message."""
        with self.assertRaises(InferenceServerException) as raised:
            call(*arguments, **fields)
        self.assertEqual(raised.exception.status(), f"StatusCode.{code}", raised.exception.message())
        return raised.exception.message()

    def refused_raw(self, code, call, request):
        with self.assertRaises(grpc.RpcError) as raised:
            call(request, timeout=PATIENCE_S)
        self.assertEqual(raised.exception.code().name, code, raised.exception.details())
        return raised.exception.details()


class ServedTest(KServeCase):
    """What is here, and inference."""

    @classmethod
    def fill(cls, repository):
        for model in ("house-price", "digits"):
            shutil.copytree(MODELS / model, repository / model)
        shutil.copytree(MODELS / "digits", repository / "digits-in-words")
        config = (MODELS / "digits/config.pbtxt").read_text().replace('"digits"', '"digits-in-words"')
        config = config.replace('"probabilities"', '"probabilities" label_filename: "words.txt"')
        (repository / "digits-in-words/config.pbtxt").write_text(config)
        (repository / "digits-in-words/words.txt").write_text("\n".join(WORDS))
        for datatype in kserve_models.TYPES:
            if datatype != "BYTES":
                write_model(repository, f"echo-{datatype.lower()}", 1, kserve_models.echo(datatype))
        write_model(repository, "twice-bytes", 1, kserve_models.twice())
        write_model(repository, "many", 3, kserve_models.echo_many())
        write_model(repository, "sum", 1, kserve_models.running_sum())
        write_model(repository, "broken", 1, b"\x08\x08 this is no model")

    # ---- Metadata. ----

    def test_live_ready_and_metadata_of_the_server(self):
        self.assertTrue(self.client.is_server_live())
        self.assertTrue(self.client.is_server_ready())
        metadata = self.client.get_server_metadata()
        self.assertEqual(metadata.name, "paramd")
        self.assertRegex(metadata.version, r"^\d+\.\d+\.\d+")
        self.assertIn("statistics", metadata.extensions)
        self.assertIn("classification", metadata.extensions)
        self.assertNotIn("system_shared_memory", metadata.extensions)  # It is off here.

    def test_ready_of_models(self):
        self.assertTrue(self.client.is_model_ready("digits"))
        self.assertTrue(self.client.is_model_ready("digits", "1"))
        self.assertFalse(self.client.is_model_ready("digits", "9"))
        self.assertFalse(self.client.is_model_ready("broken"))
        self.assertFalse(self.client.is_model_ready("absent"))
        for version in ("one", "0", "-1", "1.0", "99999999999999999999"):
            self.refused("INVALID_ARGUMENT", self.client.is_model_ready, "digits", version)

    def test_metadata_and_configuration_agree(self):
        metadata = self.client.get_model_metadata("digits")
        self.assertEqual((metadata.name, metadata.platform), ("digits", "onnxruntime_onnx"))
        self.assertEqual(list(metadata.versions), ["1"])
        self.assertEqual([(i.name, i.datatype, list(i.shape)) for i in metadata.inputs], [("pixels", "FP32", [-1, 64])])
        config = self.client.get_model_config("digits").config
        self.assertEqual(config.name, "digits")
        self.assertGreater(config.max_batch_size, 0)
        self.assertEqual([(i.name, list(i.dims)) for i in config.input], [("pixels", [64])])
        self.assertEqual(config.input[0].data_type, 11)  # TYPE_FP32
        self.assertTrue(config.HasField("dynamic_batching"))
        self.assertFalse(config.model_transaction_policy.decoupled)
        as_json = self.client.get_model_config("digits", as_json=True)
        self.assertEqual(as_json["config"]["platform"], "onnxruntime_onnx")

    def test_a_model_that_does_not_batch_shows_whole_shapes(self):
        config = self.client.get_model_config("sum").config
        self.assertEqual(config.max_batch_size, 0)
        self.assertEqual(list(config.input[0].dims), [1, 2])
        self.assertEqual(list(self.client.get_model_metadata("sum").inputs[0].shape), [1, 2])
        self.assertTrue(config.HasField("sequence_batching"))
        self.assertEqual(config.sequence_batching.state[0].output_name, "stateN")

    def test_unknown_names_are_not_found(self):
        for call in (self.client.get_model_metadata, self.client.get_model_config, self.client.get_inference_statistics):
            self.assertIn("absent", self.refused("NOT_FOUND", call, "absent"))
            self.refused("NOT_FOUND", call, "digits", "7")
            self.refused("INVALID_ARGUMENT", call, "digits", "x")

    def test_the_index_of_the_repository_has_states_and_reasons(self):
        index = {m.name: m for m in self.client.get_model_repository_index().models}
        self.assertEqual((index["digits"].version, index["digits"].state, index["digits"].reason), ("1", "READY", ""))
        self.assertEqual(index["broken"].state, "UNAVAILABLE")
        self.assertTrue(index["broken"].reason)
        self.assertNotIn(str(self.repository), index["broken"].reason)
        ready = service_pb2.RepositoryIndexRequest(ready=True)
        self.assertNotIn("broken", {m.name for m in self.stub.RepositoryIndex(ready).models})

    # ---- Inference. ----

    def test_recorded_answers_of_the_sample_models(self):
        for model in ("house-price", "digits"):
            given_name, answer_name, given, wanted = samples(model)
            result = self.client.infer(model, [infer_input(given_name, given, "FP32")], request_id="q-1")
            answer = result.as_numpy(answer_name)
            self.assertLessEqual(float(np.abs(answer - wanted).max() / np.abs(wanted).max()), 1e-5)
            response = result.get_response()
            self.assertEqual((response.model_name, response.model_version, response.id), (model, "1", "q-1"))
            self.assertGreater(response.parameters["paramd_generation"].int64_param, 0)
            self.assertRegex(response.parameters["paramd_weights_id"].string_param, "^[0-9a-f]{64}$")

    def test_the_numbers_are_those_of_onnxruntime(self):
        session = onnxruntime.InferenceSession(MODELS / "digits/1/model.onnx", providers=["CPUExecutionProvider"])
        pixels = np.random.default_rng(7).random((33, 64), np.float32)
        wanted = session.run(None, {"pixels": pixels})[0]
        answer = self.client.infer("digits", [infer_input("pixels", pixels, "FP32")])
        name = answer.get_response().outputs[0].name
        self.assertLessEqual(float(np.abs(answer.as_numpy(name) - wanted).max() / np.abs(wanted).max()), 1e-4)

    def test_every_type_raw(self):
        for datatype, dtype in NUMPY.items():
            with self.subTest(datatype=datatype):
                given = (np.arange(6).reshape(3, 2) % 2 if datatype == "BOOL" else np.arange(6).reshape(3, 2)).astype(dtype)
                result = self.client.infer(f"echo-{datatype.lower()}", [infer_input("x", given, datatype)])
                self.assertEqual(result.get_response().outputs[0].datatype, datatype)
                np.testing.assert_array_equal(result.as_numpy("y"), given)

    def test_bf16_and_strings_raw(self):
        given = np.array([[1.5, -2], [0, 3]], dtype=ml_dtypes.bfloat16)
        result = self.client.infer("echo-bf16", [infer_input("x", given, "BF16")])
        np.testing.assert_array_equal(result.as_numpy("y"), given)
        texts = np.array([[b"a\0b", b""], ["gr\u00fcn".encode(), b"x" * 3000]], dtype=np.object_)
        result = self.client.infer("twice-bytes", [infer_input("x", texts, "BYTES")])
        np.testing.assert_array_equal(result.as_numpy("y"), texts + texts)

    def test_every_type_as_contents(self):
        fields = {
            "BOOL": ("bool_contents", [True, False]),
            "INT8": ("int_contents", [-128, 127]),
            "INT16": ("int_contents", [-300, 5]),
            "INT32": ("int_contents", [-(2**31), 7]),
            "INT64": ("int64_contents", [-(2**63), 7]),
            "UINT8": ("uint_contents", [255, 0]),
            "UINT16": ("uint_contents", [65535, 0]),
            "UINT32": ("uint_contents", [2**32 - 1, 0]),
            "UINT64": ("uint64_contents", [2**64 - 1, 0]),
            "FP32": ("fp32_contents", [1.5, -2]),
            "FP64": ("fp64_contents", [1e300, -2]),
            "BYTES": ("bytes_contents", [b"hi", b""]),
        }
        for datatype, (field, values) in fields.items():
            with self.subTest(datatype=datatype):
                model = f"echo-{datatype.lower()}" if datatype != "BYTES" else "twice-bytes"
                request = self.request(model, "x", datatype, [1, 2])
                getattr(request.inputs[0].contents, field).extend(values)
                response = self.stub.ModelInfer(request, timeout=PATIENCE_S)
                if datatype == "BYTES":
                    wanted = serialize_byte_tensor(np.array([2 * v for v in values], dtype=np.object_)).item()
                else:
                    wanted = np.array(values, dtype=NUMPY[datatype]).tobytes()
                self.assertEqual(response.raw_output_contents[0], wanted)
                self.assertFalse(response.outputs[0].HasField("contents"))  # Answers are raw.

    @staticmethod
    def request(model, name, datatype, shape, **fields):
        request = service_pb2.ModelInferRequest(model_name=model, **fields)
        request.inputs.add(name=name, datatype=datatype, shape=shape)
        return request

    def test_what_is_wrong_with_a_request_is_said(self):
        def spoiled(spoil, model="echo-fp32", datatype="FP32"):
            request = self.request(model, "x", datatype, [1, 2])
            request.raw_input_contents.append(b"\0" * 8)
            spoil(request)
            return request

        def contents(request):
            request.ClearField("raw_input_contents")
            request.inputs[0].contents.fp32_contents.extend([1, 2])

        bad = [
            (lambda r: r.inputs[0].contents.fp32_contents.extend([1, 2]), "contents field must not be specified"),
            (lambda r: r.ClearField("raw_input_contents"), "unable to find data for input tensor 'x' for model 'echo-fp32'"),
            (lambda r: r.raw_input_contents.append(b""), "expected 1 raw_input_contents"),
            (lambda r: r.raw_input_contents.__setitem__(0, b"\0" * 7), "7"),
            (lambda r: setattr(r.inputs[0], "datatype", "FLOAT"), "FLOAT"),
            (lambda r: setattr(r.inputs[0], "datatype", "INT32"), "i32"),
            (lambda r: setattr(r.inputs[0], "name", "wrong"), "wrong"),
            (lambda r: r.inputs[0].shape.append(1), "x"),
            (lambda r: r.inputs[0].shape.__setitem__(0, -1), "negative"),
            (lambda r: r.inputs[0].shape.__setitem__(0, 2**62), "x"),
            (lambda r: r.inputs.append(r.inputs[0]), "unable to find data"),
            (lambda r: (r.inputs.append(r.inputs[0]), r.raw_input_contents.append(b"\0" * 8)), "twice"),
            (lambda r: r.ClearField("inputs"), "expected 0"),
            (lambda r: r.outputs.add(name="z"), "z"),
            (lambda r: r.outputs.extend([r.outputs.add(name="y")]), "y"),
            (lambda r: r.parameters["timeout"].__setattr__("int64_param", -1), "timeout"),
            (lambda r: r.parameters["priority"].__setattr__("string_param", "high"), "priority"),
            (lambda r: (contents(r), r.inputs[0].contents.int_contents.append(1)), "fp32_contents"),
            (lambda r: (contents(r), setattr(r.inputs[0], "datatype", "INT32")), "int_contents"),
            (lambda r: (contents(r), r.inputs[0].contents.fp32_contents.append(1)), "3"),
        ]
        for number, (spoil, said) in enumerate(bad):
            with self.subTest(number=number, said=said):
                self.assertIn(said, self.refused_raw("INVALID_ARGUMENT", self.stub.ModelInfer, spoiled(spoil)))
        half = spoiled(lambda r: r.ClearField("raw_input_contents"), "echo-fp16", "FP16")
        half.inputs[0].contents.fp32_contents.extend([1, 2])
        self.assertIn("raw_input_contents", self.refused_raw("INVALID_ARGUMENT", self.stub.ModelInfer, half))
        narrow = spoiled(lambda r: r.ClearField("raw_input_contents"), "echo-int8", "INT8")
        narrow.inputs[0].contents.int_contents.extend([1, 200])
        self.assertIn("range", self.refused_raw("INVALID_ARGUMENT", self.stub.ModelInfer, narrow))
        texts = spoiled(lambda r: None, "twice-bytes", "BYTES")
        texts.raw_input_contents[0] = b"\xff\xff\xff\x7fx\0\0\0\0"
        self.refused_raw("INVALID_ARGUMENT", self.stub.ModelInfer, texts)
        self.refused_raw("NOT_FOUND", self.stub.ModelInfer, spoiled(lambda r: setattr(r, "model_name", "absent")))
        self.refused_raw("NOT_FOUND", self.stub.ModelInfer, spoiled(lambda r: setattr(r, "model_version", "9")))
        self.refused_raw("INVALID_ARGUMENT", self.stub.ModelInfer, spoiled(lambda r: setattr(r, "model_version", "nine")))
        self.refused_raw("INVALID_ARGUMENT", self.stub.ModelInfer, service_pb2.ModelInferRequest())

    def test_outputs_come_as_they_were_asked_for(self):
        a, b, c = np.float32([[1, 2]]), np.int64([[3, 4]]), np.float32([[5, 6]])
        inputs = [infer_input("c", c, "FP32"), infer_input("a", a, "FP32"), infer_input("b", b, "INT64")]
        everything = self.client.infer("many", inputs)
        self.assertEqual([o.name for o in everything.get_response().outputs], ["a2", "b2", "c2"])
        some = self.client.infer("many", inputs, outputs=[triton.InferRequestedOutput(n) for n in ("c2", "a2")])
        self.assertEqual([o.name for o in some.get_response().outputs], ["c2", "a2"])
        np.testing.assert_array_equal(some.as_numpy("c2"), c)
        np.testing.assert_array_equal(some.as_numpy("a2"), a)

    def test_classification(self):
        given_name, answer_name, given, wanted = samples("digits")
        outputs = [triton.InferRequestedOutput(answer_name, class_count=3)]
        answer = self.client.infer("digits", [infer_input(given_name, given, "FP32")], outputs=outputs)
        texts = answer.as_numpy(answer_name)
        self.assertEqual(texts.shape, (len(given), 3))
        for row in range(len(given)):
            indexes = [int(text.decode().split(":")[1]) for text in texts[row]]
            self.assertEqual(indexes, np.argsort(-wanted[row], kind="stable")[:3].tolist())
            self.assertAlmostEqual(float(texts[row][0].decode().split(":")[0]), float(wanted[row].max()), places=4)

    def test_classification_with_labels(self):
        """output.label_filename of the configuration; an index beyond its lines has none."""
        given_name, answer_name, given, wanted = samples("digits")
        outputs = [triton.InferRequestedOutput(answer_name, class_count=10)]
        answer = self.client.infer("digits-in-words", [infer_input(given_name, given, "FP32")], outputs=outputs)
        for texts, row in zip(answer.as_numpy(answer_name), wanted):
            named = [text.decode().split(":")[1:] for text in texts]
            order = np.argsort(-row, kind="stable").tolist()
            self.assertEqual(named, [[str(i), WORDS[i]] if i < len(WORDS) else [str(i)] for i in order])
        config = self.client.get_model_config("digits-in-words").config
        self.assertEqual(config.output[0].label_filename, "words.txt")

    def test_parameters(self):
        given = infer_input("x", np.float32([[1, 2]]), "FP32")
        self.client.infer("echo-fp32", [given], priority=1, timeout=5_000_000, parameters={"anything": 1.5, "label": "default"})
        self.refused("NOT_FOUND", self.client.infer, "echo-fp32", [given], parameters={"label": "canary"})
        self.refused("INVALID_ARGUMENT", self.client.infer, "echo-fp32", [given], "1", parameters={"label": "default"})
        self.refused("DEADLINE_EXCEEDED", self.client.infer, "echo-fp32", [given], timeout=1)

    def test_compressed_messages(self):
        pixels = np.zeros((100, 64), np.float32)
        for algorithm in ("gzip", "deflate"):
            result = self.client.infer("digits", [infer_input("pixels", pixels, "FP32")], compression_algorithm=algorithm)
            self.assertEqual(result.get_response().outputs[0].shape[0], 100)

    def test_asynchronous_calls_with_callbacks(self):
        results = queue.Queue()
        for value in range(50):
            x = np.float32([[value, 1]])
            self.client.async_infer("echo-fp32", [infer_input("x", x, "FP32")], lambda result, error: results.put((result, error)))
        values = set()
        for _ in range(50):
            result, error = results.get(timeout=PATIENCE_S)
            self.assertIsNone(error)
            values.add(float(result.as_numpy("y")[0, 0]))
        self.assertEqual(values, set(map(float, range(50))))

    # ---- Streams. ----

    def stream(self, requests):
        """[(result, error)] of requests that are sent through one stream."""
        answers = queue.Queue()
        client = triton.InferenceServerClient(self.daemon.grpc)
        client.start_stream(lambda result, error: answers.put((result, error)))
        for fields in requests:
            client.async_stream_infer(**fields)
        got = [answers.get(timeout=PATIENCE_S) for _ in requests]
        client.stop_stream()
        client.close()
        return got

    def test_a_stream_keeps_its_order_and_survives_errors(self):
        requests = []
        for i in range(300):
            if i % 10 == 3:
                requests.append({"model_name": "absent", "inputs": [infer_input("x", np.float32([[i, 0]]), "FP32")]})
            elif i % 10 == 7:
                requests.append({"model_name": "echo-fp32", "inputs": [infer_input("x", np.float32([[i, 0, 0]]), "FP32")]})
            else:
                rows = 1 + i % 5
                x = np.full((rows, 2), i, np.float32)
                requests.append({"model_name": "echo-fp32", "inputs": [infer_input("x", x, "FP32")], "request_id": str(i)})
        for i, (result, error) in enumerate(self.stream(requests)):
            if i % 10 in (3, 7):
                self.assertIsNotNone(error, i)
                self.assertIn("absent" if i % 10 == 3 else "x", str(error))
            else:
                self.assertIsNone(error, i)
                self.assertEqual(result.get_response().id, str(i))
                self.assertTrue((result.as_numpy("y") == i).all())
                self.assertTrue(result.get_response().parameters["triton_final_response"].bool_param)

    def test_a_stream_of_raw_messages_ends_when_the_client_ends_it(self):
        def requests():
            for i in range(20):
                request = self.request("echo-fp32", "x", "FP32", [1, 2], id=str(i))
                request.raw_input_contents.append(np.float32([i, i]).tobytes() if i != 5 else b"short")
                yield request

        answers = list(self.stub.ModelStreamInfer(requests(), timeout=PATIENCE_S))
        self.assertEqual([a.infer_response.id for a in answers], [str(i) for i in range(20)])
        self.assertEqual([i for i, a in enumerate(answers) if a.error_message], [5])

    def test_a_stream_that_is_cancelled_stops(self):
        release = threading.Event()

        def requests():
            for _ in range(200):
                request = self.request("digits", "pixels", "FP32", [64, 64])
                request.raw_input_contents.append(bytes(64 * 64 * 4))
                yield request
            release.wait(PATIENCE_S)

        call = self.stub.ModelStreamInfer(requests(), timeout=PATIENCE_S)
        next(call)
        call.cancel()
        release.set()
        with self.assertRaises(grpc.RpcError) as raised:
            for _ in call:
                pass
        self.assertEqual(raised.exception.code(), grpc.StatusCode.CANCELLED)
        self.assertTrue(self.client.is_model_ready("digits"))

    # ---- asyncio. ----

    def test_asyncio_client(self):
        async def work():
            async with triton_aio.InferenceServerClient(self.daemon.grpc) as client:
                self.assertTrue(await client.is_server_live())
                self.assertTrue(await client.is_model_ready("digits"))
                self.assertEqual((await client.get_model_metadata("many")).inputs[1].datatype, "INT64")
                self.assertEqual((await client.get_model_config("many")).config.name, "many")
                inputs = [infer_input("x", np.float32([[i, 2]]), "FP32") for i in range(20)]
                results = await asyncio.gather(*(client.infer("echo-fp32", [given]) for given in inputs))
                self.assertEqual([float(r.as_numpy("y")[0, 0]) for r in results], list(map(float, range(20))))
                with self.assertRaises(InferenceServerException):
                    await client.infer("absent", inputs[:1])

                async def requests():
                    for i in range(10):
                        yield {"model_name": "echo-fp32" if i != 4 else "absent", "inputs": [inputs[i]], "request_id": str(i)}

                seen = []
                async for result, error in client.stream_infer(requests()):
                    seen.append(error is None)
                self.assertEqual(seen, [i != 4 for i in range(10)])
                statistics = await client.get_inference_statistics("echo-fp32")
                self.assertGreaterEqual(statistics.model_stats[0].inference_count, 20)

        asyncio.run(work())

    # ---- Sequences. ----

    def step(self, value, sequence, start=False, end=False, client=None):
        result = (client or self.client).infer(
            "sum", [infer_input("x", np.float32([[value, 1]]), "FP32")], sequence_id=sequence, sequence_start=start, sequence_end=end
        )
        return result

    def test_sequences_by_number_and_by_name(self):
        for sequence in (41, "a-name"):
            first = self.step(1, sequence, start=True)
            self.assertEqual([o.name for o in first.get_response().outputs], ["y"])  # The state stays here.
            self.assertEqual(first.as_numpy("y").tolist(), [[1, 1]])
            self.assertEqual(self.step(10, sequence).as_numpy("y").tolist(), [[11, 2]])
            self.assertEqual(self.step(100, sequence, end=True).as_numpy("y").tolist(), [[111, 3]])
            self.assertIn("START", self.refused("INVALID_ARGUMENT", self.step, 1, sequence))
        self.step(1, 5, start=True)
        self.assertEqual(self.step(2, 5, start=True).as_numpy("y").tolist(), [[2, 1]])  # Anew.

    def test_explicit_states_work_too(self):
        inputs = [infer_input("x", np.float32([[1, 2]]), "FP32"), infer_input("state", np.float32([[10, 20]]), "FP32")]
        result = self.client.infer("sum", inputs)
        self.assertEqual(result.as_numpy("stateN").tolist(), [[11, 22]])
        self.refused("INVALID_ARGUMENT", self.client.infer, "sum", inputs[:1])

    def test_sequences_beside_each_other(self):
        def run(sequence, failures):
            try:
                client = triton.InferenceServerClient(self.daemon.grpc)
                total = 0
                for i in range(50):
                    total += sequence * i
                    got = self.step(sequence * i, sequence, start=i == 0, end=i == 49, client=client).as_numpy("y")
                    self.assertEqual(got.tolist(), [[total, i + 1]])
                client.close()
            except Exception as error:  # pylint: disable=broad-except
                failures.append(error)

        failures = []
        threads = [threading.Thread(target=run, args=(1000 + n, failures)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])

    def test_a_sequence_in_a_stream_needs_no_waiting_for_answers(self):
        requests = [
            {
                "model_name": "sum",
                "inputs": [infer_input("x", np.float32([[i, 1]]), "FP32")],
                "sequence_id": 77,
                "sequence_start": i == 0,
                "sequence_end": i == 29,
            }
            for i in range(30)
        ]
        answers = self.stream(requests)
        self.assertTrue(all(error is None for _, error in answers), answers)
        self.assertEqual([r.as_numpy("y").tolist() for r, _ in answers], [[[i * (i + 1) / 2, i + 1]] for i in range(30)])

    # ---- What is refused here. ----

    def test_statistics_count_requests_rows_and_batches(self):
        before = self.client.get_inference_statistics("echo-int16").model_stats[0]
        x = infer_input("x", np.zeros((8, 2), np.int16), "INT16")
        for _ in range(5):
            self.client.infer("echo-int16", [x])
        bad = infer_input("x", np.zeros((1, 3), np.int16), "INT16")
        self.refused("INVALID_ARGUMENT", self.client.infer, "echo-int16", [bad])
        after = self.client.get_inference_statistics("echo-int16", "1").model_stats[0]
        self.assertEqual((after.name, after.version), ("echo-int16", "1"))
        self.assertEqual(after.inference_count - before.inference_count, 40)
        self.assertEqual(after.execution_count - before.execution_count, 5)
        stats = after.inference_stats
        self.assertEqual(stats.success.count - before.inference_stats.success.count, 5)
        self.assertEqual(stats.fail.count - before.inference_stats.fail.count, 1)
        counts = {getattr(stats, name).count for name in ("success", "queue", "compute_input", "compute_infer", "compute_output")}
        self.assertEqual(len(counts), 1)
        self.assertGreater(stats.success.ns, stats.compute_infer.ns)
        self.assertEqual(stats.cache_hit.count, 0)
        sizes = {batch.batch_size: batch.compute_infer.count for batch in after.batch_stats}
        self.assertEqual(sizes[8], 5)
        self.assertGreater(after.last_inference, 1_600_000_000_000)
        self.assertEqual([(usage.type, usage.id) for usage in after.memory_usage], [("CPU", 0)])
        names = {s.name for s in self.client.get_inference_statistics().model_stats}
        self.assertIn("digits", names)
        self.assertNotIn("broken", names)

    def test_metrics_under_tritons_names(self):
        self.client.infer("echo-uint8", [infer_input("x", np.zeros((4, 2), np.uint8), "UINT8")])
        with urllib.request.urlopen(f"http://{self.daemon.metrics}/metrics", timeout=PATIENCE_S) as response:
            text = response.read().decode()
        labels = '{model="echo-uint8",version="1"}'
        for name in ("request_success", "count", "exec_count", "request_duration_us", "compute_infer_duration_us"):
            self.assertIn(f"nv_inference_{name}{labels} ", text)
        answered = re.search(r'paramd_requests_total\{model="echo-uint8",version="1",code="OK"\} (\S+)', text)[1]
        for stage in ("queue", "batch", "compute", "encode"):  # Once a request each.
            self.assertIn(f'stage_seconds_count{{model="echo-uint8",version="1",stage="{stage}"}} {answered}\n', text)
        rows = float(re.search(re.escape(f"nv_inference_count{labels}") + r" (\S+)", text)[1])
        self.assertGreaterEqual(rows, 4)

    def test_control_is_refused_on_this_address_and_says_why(self):
        for call in (self.client.load_model, self.client.unload_model):
            message = self.refused("UNAVAILABLE", call, "digits")
            self.assertIn("explicit model load / unload", message)
            self.assertIn("--model-control=explicit", message)
        self.refused("UNAVAILABLE", self.client.update_trace_settings, None, {"trace_level": ["TIMESTAMPS"]})
        self.refused("UNAVAILABLE", self.client.update_log_settings, {"log_verbose_level": 1})
        self.assertEqual(list(self.client.get_trace_settings().settings["trace_level"].value), ["OFF"])
        self.assertTrue(self.client.get_log_settings().settings["log_info"].bool_param)

    def test_shared_memory_is_off(self):
        self.assertIn("--allow-client-shm", self.refused("UNAVAILABLE", self.client.register_system_shared_memory, "r", "/r", 8))
        self.refused("UNAVAILABLE", self.client.get_system_shared_memory_status)
        self.client.unregister_system_shared_memory()
        x = triton.InferInput("x", [1, 2], "FP32")
        x.set_shared_memory("r", 8)
        self.assertIn("--allow-client-shm", self.refused("UNAVAILABLE", self.client.infer, "echo-fp32", [x]))

    def test_cuda_is_not_in_this_build(self):
        for call in (self.client.get_cuda_shared_memory_status, self.client.unregister_cuda_shared_memory):
            self.refused("UNIMPLEMENTED", call)
        request = service_pb2.CudaSharedMemoryRegisterRequest(name="r", byte_size=8)
        self.refused_raw("UNIMPLEMENTED", self.stub.CudaSharedMemoryRegister, request)


class ControlTest(KServeCase):
    """What changes something, where it may be changed: --model-control=explicit, and the admin socket."""

    ARGUMENTS = ("--model-control", "explicit")

    @classmethod
    def fill(cls, repository):
        write_model(repository, "echo", 1, kserve_models.echo("FP32"))
        write_model(repository, "sum", 1, kserve_models.running_sum())

    def ask(self):
        return self.client.infer("echo", [infer_input("x", np.float32([[1, 2]]), "FP32")]).as_numpy("y").tolist()

    def test_unload_and_load(self):
        self.client.unload_model("echo")
        self.assertFalse(self.client.is_model_ready("echo"))
        self.refused("NOT_FOUND", self.ask)
        self.client.load_model("echo")
        self.assertTrue(self.client.is_model_ready("echo"))
        self.assertEqual(self.ask(), [[1, 2]])
        self.operator.unload_model("echo")
        self.operator.load_model("echo")
        self.assertEqual(self.ask(), [[1, 2]])
        self.refused("NOT_FOUND", self.client.load_model, "absent")
        self.refused("INVALID_ARGUMENT", self.client.load_model, "../echo")
        self.refused("INVALID_ARGUMENT", self.client.unload_model, "")

    def test_load_with_a_configuration(self):
        self.client.load_model("echo", config=json.dumps({"max_batch_size": 4}))
        self.assertEqual(self.client.get_model_config("echo").config.max_batch_size, 4)
        self.assertEqual(self.ask(), [[1, 2]])
        message = self.refused("INVALID_ARGUMENT", self.client.load_model, "echo", config='{"max_batch_sise": 4}')
        self.assertIn("max_batch_sise", message)
        self.refused("INVALID_ARGUMENT", self.client.load_model, "echo", config=json.dumps({"name": "other"}))
        self.refused("UNIMPLEMENTED", self.client.load_model, "echo", config="{}", files={"file:1/model.onnx": b"x"})
        self.client.load_model("echo")
        self.assertGreater(self.client.get_model_config("echo").config.max_batch_size, 4)

    def test_a_model_that_fails_to_load_says_why(self):
        write_model(self.repository, "bad", 1, b"no model")
        message = self.refused("INVALID_ARGUMENT", self.client.load_model, "bad")
        self.assertNotIn(str(self.repository), message)
        index = {m.name: m for m in self.client.get_model_repository_index().models}
        self.assertEqual(index["bad"].state, "UNAVAILABLE")

    def test_a_swap_ends_sequences_with_a_clear_error(self):
        def step(start=False):
            return self.client.infer(
                "sum", [infer_input("x", np.float32([[1, 1]]), "FP32")], sequence_id=9, sequence_start=start
            ).as_numpy("y")

        step(start=True)
        write_model(self.repository, "sum", 2, kserve_models.running_sum())
        self.client.load_model("sum")
        self.assertIn("start it again", self.refused("FAILED_PRECONDITION", step))
        self.assertEqual(step(start=True).tolist(), [[1, 1]])

    def test_trace_settings(self):
        settings = self.client.update_trace_settings("echo", {"trace_level": ["TIMESTAMPS"], "trace_rate": "1"})
        self.assertEqual(list(settings.settings["trace_level"].value), ["TIMESTAMPS"])
        self.ask()
        self.assertEqual(list(self.client.get_trace_settings("echo").settings["trace_rate"].value), ["1"])
        self.refused("UNIMPLEMENTED", self.client.update_trace_settings, None, {"trace_file": "/tmp/trace.json"})
        self.refused("INVALID_ARGUMENT", self.client.update_trace_settings, None, {"trace_rate": "0"})
        self.client.update_trace_settings("echo", {"trace_level": None, "trace_rate": None})
        self.assertEqual(list(self.client.get_trace_settings("echo").settings["trace_level"].value), ["OFF"])
        self.assertTrue(any("REQUEST_START" in line and "COMPUTE_INPUT_END" in line for line in list(self.daemon.log)))

    def test_log_settings(self):
        settings = self.client.update_log_settings({"log_verbose_level": 1, "log_warning": False})
        self.assertEqual(settings.settings["log_verbose_level"].uint32_param, 1)
        self.assertFalse(settings.settings["log_warning"].bool_param)
        self.ask()
        self.refused("UNIMPLEMENTED", self.client.update_log_settings, {"log_file": "/tmp/log"})
        self.refused("INVALID_ARGUMENT", self.client.update_log_settings, {"log_verbose_level": 1000})
        self.refused("INVALID_ARGUMENT", self.client.update_log_settings, {"log_colour": True})
        self.client.update_log_settings({"log_verbose_level": 0, "log_warning": True})
        self.assertTrue(self.client.get_log_settings().settings["log_warning"].bool_param)


class SharedMemoryTest(KServeCase):
    """--allow-client-shm."""

    ARGUMENTS = ("--allow-client-shm",)

    @classmethod
    def fill(cls, repository):
        write_model(repository, "echo", 1, kserve_models.echo("FP32"))
        write_model(repository, "texts", 1, kserve_models.twice())
        write_model(repository, "many", 1, kserve_models.echo_many())

    def region(self, name, bytes_):
        key = f"/kserve-test-{os.getpid()}-{name}"
        handle = shm.create_shared_memory_region(name, key, bytes_)

        def clean():
            self.client.unregister_system_shared_memory(name) if name in self.registered() else None
            shm.destroy_shared_memory_region(handle)

        self.addCleanup(clean)
        self.client.register_system_shared_memory(name, key, bytes_)
        return handle, key

    def registered(self):
        return self.client.get_system_shared_memory_status().regions

    def test_input_and_output_in_shared_memory(self):
        self.assertIn("system_shared_memory", self.client.get_server_metadata().extensions)
        handle, key = self.region("both", 4096)
        given = np.arange(64, dtype=np.float32).reshape(32, 2)
        shm.set_shared_memory_region(handle, [given])
        x = triton.InferInput("x", [32, 2], "FP32")
        x.set_shared_memory("both", given.nbytes)
        y = triton.InferRequestedOutput("y")
        y.set_shared_memory("both", 1024, offset=1024)
        result = self.client.infer("echo", [x], outputs=[y])
        response = result.get_response()
        self.assertEqual(list(response.raw_output_contents), [b""])
        self.assertEqual(response.outputs[0].parameters["shared_memory_byte_size"].int64_param, given.nbytes)
        np.testing.assert_array_equal(shm.get_contents_as_numpy(handle, np.float32, [32, 2], offset=1024), given)
        status = self.registered()["both"]
        self.assertEqual((status.key, status.offset, status.byte_size), (key, 0, 4096))

    def test_mixed_with_raw_inputs(self):
        handle, _ = self.region("mixed", 64)
        b = np.int64([[3, 4]])
        shm.set_shared_memory_region(handle, [b])
        in_region = triton.InferInput("b", [1, 2], "INT64")
        in_region.set_shared_memory("mixed", b.nbytes)
        a, c = np.float32([[1, 2]]), np.float32([[5, 6]])
        result = self.client.infer("many", [infer_input("a", a, "FP32"), in_region, infer_input("c", c, "FP32")])
        for name, wanted in (("a2", a), ("b2", b), ("c2", c)):
            np.testing.assert_array_equal(result.as_numpy(name), wanted)

    def test_strings_in_shared_memory(self):
        texts = np.array([[b"hello", b""], [b"x", b"yy"]], dtype=np.object_)
        serialized = serialize_byte_tensor(texts)
        handle, _ = self.region("texts", 1024)
        shm.set_shared_memory_region(handle, [serialized])
        size = len(serialized.item())
        x = triton.InferInput("x", [2, 2], "BYTES")
        x.set_shared_memory("texts", size)
        y = triton.InferRequestedOutput("y")
        y.set_shared_memory("texts", 512, offset=512)
        self.client.infer("texts", [x], outputs=[y])
        np.testing.assert_array_equal(shm.get_contents_as_numpy(handle, np.object_, [2, 2], offset=512), texts + texts)

    def test_names_keys_and_ranges_are_checked(self):
        _, key = self.region("once", 64)
        register = self.client.register_system_shared_memory
        self.refused("ALREADY_EXISTS", register, "once", key, 64)
        self.refused("NOT_FOUND", register, "other", "/kserve-test-absent", 64)
        self.refused("INVALID_ARGUMENT", register, "other", key, 65)
        self.refused("INVALID_ARGUMENT", register, "other", key, 1, offset=64)
        self.refused("INVALID_ARGUMENT", register, "other", key, 2, offset=2**64 - 1)
        self.refused("INVALID_ARGUMENT", register, "other", "/paramd-secret", 64)
        self.refused("INVALID_ARGUMENT", register, "other", "/../etc/passwd", 64)
        self.refused("NOT_FOUND", self.client.unregister_system_shared_memory, "other")
        self.refused("NOT_FOUND", self.client.get_system_shared_memory_status, "other")
        x = triton.InferInput("x", [4, 2], "FP32")
        for size, offset, code in ((33, 32, "INVALID_ARGUMENT"), (31, 0, "INVALID_ARGUMENT"), (2**62, 2**62, "INVALID_ARGUMENT")):
            x.set_shared_memory("once", size, offset=offset)
            self.refused(code, self.client.infer, "echo", [x])
        x.set_shared_memory("other", 32)
        self.refused("NOT_FOUND", self.client.infer, "echo", [x])
        y = triton.InferRequestedOutput("y")
        y.set_shared_memory("once", 8)
        message = self.refused("INVALID_ARGUMENT", self.client.infer, "echo", [infer_input("x", np.zeros((4, 2), np.float32), "FP32")], outputs=[y])
        self.assertIn("32", message)

    def test_a_region_that_is_cut_off_is_an_error(self):
        size = 1 << 20
        handle, key = self.region("cut", size)
        rows = size // 8
        x = triton.InferInput("x", [rows, 2], "FP32")
        x.set_shared_memory("cut", size)
        self.client.infer("echo", [x], outputs=[])
        os.truncate("/dev/shm" + key, 4096)
        self.assertIn("cut off", self.refused("INVALID_ARGUMENT", self.client.infer, "echo", [x]))
        y = triton.InferRequestedOutput("y")
        y.set_shared_memory("cut", size)
        self.refused("INVALID_ARGUMENT", self.client.infer, "echo", [infer_input("x", np.zeros((4, 2), np.float32), "FP32")], outputs=[y])
        os.truncate("/dev/shm" + key, size)
        self.client.infer("echo", [x])
        self.assertTrue(self.client.is_server_live())

    def test_cutting_off_and_unregistering_while_requests_run(self):
        """Any of the requests may fail, none may hurt the daemon or another."""
        size = 1 << 18
        handle, key = self.region("wild", size)
        over = threading.Event()

        def spoil():
            client = triton.InferenceServerClient(self.daemon.grpc)
            turn = 0
            while not over.is_set():
                os.truncate("/dev/shm" + key, 0 if turn % 2 else size)
                if turn % 5 == 0:
                    try:
                        client.unregister_system_shared_memory("wild")
                        client.register_system_shared_memory("wild", key, size)
                    except InferenceServerException:
                        pass
                turn += 1
            client.close()

        spoiler = threading.Thread(target=spoil)
        spoiler.start()
        x = triton.InferInput("x", [size // 8, 2], "FP32")
        x.set_shared_memory("wild", size)
        plain = infer_input("x", np.float32([[1, 2]]), "FP32")
        for _ in range(100):
            try:
                self.client.infer("echo", [x])
            except InferenceServerException as error:
                self.assertIn(error.status(), ("StatusCode.INVALID_ARGUMENT", "StatusCode.NOT_FOUND"))
            self.assertEqual(self.client.infer("echo", [plain]).as_numpy("y").tolist(), [[1, 2]])
        over.set()
        spoiler.join()
        os.truncate("/dev/shm" + key, size)


if __name__ == "__main__":
    unittest.main(verbosity=2)
