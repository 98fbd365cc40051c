"""Classifiers of ai.onnx.ml, strings in and out: what clients get is what onnxruntime computes."""
import concurrent.futures
import pathlib
import unittest

import numpy as np
import onnxruntime
from daemon_case import DaemonCase
from messages import model_pb2, model_pb2_grpc, predict_pb2, predict_pb2_grpc
from onnx import TensorProto, helper
from paramd_process import PATIENCE_S

LABELS = ["complaint", "praise", "question"]
WORDS = ["bad", "good", "how", "very", "why"]
TEXTS = ["how", "very good", "very very bad", "", "why bad how", "nothing known"]


def text_classifier():
    """texts [N] of words -> their counts -> a linear model -> a name and a map of probabilities for each."""
    rng = np.random.default_rng(5)
    coefficients = [float(x) for x in rng.standard_normal(3 * len(WORDS))]
    nodes = [
        helper.make_node(
            "TfIdfVectorizer", ["words"], ["counts"], mode="TF", min_gram_length=1, max_gram_length=1, max_skip_count=0,
            ngram_counts=[0], ngram_indexes=list(range(len(WORDS))), pool_strings=WORDS,
        ),
        helper.make_node(
            "LinearClassifier", ["counts"], ["name", "scores"], domain="ai.onnx.ml", coefficients=coefficients,
            intercepts=[0.1, 0.2, 0.3], classlabels_strings=LABELS, post_transform="SOFTMAX",
        ),
        helper.make_node("ZipMap", ["scores"], ["probabilities"], domain="ai.onnx.ml", classlabels_strings=LABELS),
    ]  # fmt: skip
    maps = helper.make_sequence_type_proto(helper.make_map_type_proto(TensorProto.STRING, helper.make_tensor_type_proto(TensorProto.FLOAT, [])))
    graph = helper.make_graph(
        nodes,
        "reviews",
        [helper.make_tensor_value_info("words", TensorProto.STRING, ["N", "L"])],
        [helper.make_tensor_value_info("name", TensorProto.STRING, ["N"]), helper.make_value_info("probabilities", maps)],
    )
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 1)]
    return helper.make_model(graph, ir_version=8, opset_imports=imports).SerializeToString()


def padded(texts):
    rows = [text.split() for text in texts]
    width = max(1, max(len(row) for row in rows))
    return np.array([row + [""] * (width - len(row)) for row in rows], object)


class ClassifierTest(DaemonCase):
    @classmethod
    def fill(cls, repository):
        iris = (pathlib.Path(onnxruntime.__file__).parent / "datasets/logreg_iris.onnx").read_bytes()
        cls.sessions = {}
        for name, model in (("reviews", text_classifier()), ("iris", iris)):
            (repository / name / "1").mkdir(parents=True)
            (repository / name / "1/model.onnx").write_bytes(model)
            cls.sessions[name] = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.stub = predict_pb2_grpc.PredictServiceStub(cls.channel)
        cls.models = model_pb2_grpc.ModelServiceStub(cls.channel)

    def answer(self, texts):
        """Names and probabilities [N, 3], as paramd gives them."""
        words = padded(texts)
        given = predict_pb2.Tensor(name="words", shape=words.shape, strings=[word.encode() for word in words.ravel()])
        answer = self.stub.Predict(predict_pb2.PredictRequest(model="reviews", inputs=[given], typed_outputs=True), timeout=PATIENCE_S)
        by_name = {output.name: output for output in answer.outputs}
        probabilities = np.float32(by_name["probabilities"].f32).reshape(by_name["probabilities"].shape)
        return [name.decode() for name in by_name["name"].strings], probabilities

    def check(self, texts):
        names, probabilities = self.answer(texts)
        wanted_names, maps = self.sessions["reviews"].run(None, {"words": padded(texts)})
        self.assertEqual(names, list(wanted_names))
        wanted = np.float32([[row[label] for label in LABELS] for row in maps])
        np.testing.assert_allclose(probabilities, wanted, rtol=1e-5, atol=1e-6)

    def test_strings_in_and_out_alone_and_in_batches(self):
        for texts in (TEXTS[:1], TEXTS[1:3], TEXTS):
            with self.subTest(texts=texts):
                self.check(texts)

    def test_many_at_once(self):
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda i: self.check(TEXTS[i % 6 : i % 6 + 1]), range(48)))

    def test_the_classes_are_in_model_info(self):
        info = self.models.GetModelInfo(model_pb2.GetModelInfoRequest(model="reviews"), timeout=PATIENCE_S)
        self.assertIn('["complaint", "praise", "question"]', str(info).replace('\\"', '"'))

    def test_iris(self):
        values = np.float32([[5.1, 3.5], [6.2, 2.9], [7.0, 3.2]])
        given = predict_pb2.Tensor(name="float_input", shape=values.shape, raw=values.tobytes())
        answer = self.stub.Predict(predict_pb2.PredictRequest(model="iris", inputs=[given], typed_outputs=True), timeout=PATIENCE_S)
        label, maps = self.sessions["iris"].run(None, {"float_input": values})
        self.assertEqual(list(answer.outputs[0].i64), list(label))
        wanted = np.float32([[row[key] for key in sorted(row)] for row in maps])
        got = np.float32(answer.outputs[1].f32).reshape(answer.outputs[1].shape)
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)


if __name__ == "__main__":
    unittest.main(verbosity=2)
