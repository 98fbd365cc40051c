"""Whole small networks in f16 and f64, and numbers of few bits and truths where models hold them."""
import numpy as np
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper

rng = np.random.default_rng(13)
TYPES = {np.float16: T.FLOAT16, np.float64: T.DOUBLE, np.float32: T.FLOAT}


def build(nodes, inputs, outputs, held, opset=18):
    graph = h.make_graph(
        nodes,
        "made",
        [h.make_tensor_value_info(n, *t) for n, t in inputs.items()],
        [h.make_tensor_value_info(n, *t) for n, t in outputs.items()],
        initializer=[numpy_helper.from_array(a, n) for n, a in held.items()],
    )
    return h.make_model(graph, ir_version=8, opset_imports=[h.make_opsetid("", opset)])


def image_network(dtype):
    """conv, batch-norm, relu, pool, conv, mean, gemm, softmax."""
    kind = TYPES[dtype]
    random = lambda *shape: (0.3 * rng.standard_normal(shape)).astype(dtype)
    held = {
        "w1": random(6, 3, 3, 3), "b1": random(6), "scale": random(6) + dtype(1), "shift": random(6), "mean": random(6),
        "var": np.abs(random(6)) + dtype(1), "w2": random(8, 3, 3, 3), "w3": random(8, 5), "b3": random(5),
    }
    nodes = [
        h.make_node("Conv", ["x", "w1", "b1"], ["c1"], pads=[1, 1, 1, 1]),
        h.make_node("BatchNormalization", ["c1", "scale", "shift", "mean", "var"], ["n1"]),
        h.make_node("Relu", ["n1"], ["r1"]),
        h.make_node("MaxPool", ["r1"], ["p1"], kernel_shape=[2, 2], strides=[2, 2]),
        h.make_node("Conv", ["p1", "w2"], ["c2"], group=2, dilations=[2, 2], pads=[2, 2, 2, 2]),
        h.make_node("HardSwish", ["c2"], ["r2"]),
        h.make_node("GlobalAveragePool", ["r2"], ["g"]),
        h.make_node("Flatten", ["g"], ["f"]),
        h.make_node("Gemm", ["f", "w3", "b3"], ["logits"]),
        h.make_node("Softmax", ["logits"], ["y"], axis=-1),
    ]
    model = build(nodes, {"x": (kind, ["N", 3, "H", "W"])}, {"y": (kind, ["N", 5])}, held)
    return model, [{"x": random(*shape)} for shape in ((1, 3, 8, 12), (3, 3, 16, 8))]


def text_network(dtype):
    """embedding, layer norm, attention written out, gelu, mean."""
    kind = TYPES[dtype]
    random = lambda *shape: (0.3 * rng.standard_normal(shape)).astype(dtype)
    held = {name: random(8, 8) for name in ("wq", "wk", "wv", "wo")} | {
        "words": random(20, 8), "g": random(8) + dtype(1), "b": random(8), "w1": random(8, 16), "b1": random(16), "w2": random(16, 8),
        "root": np.array(8**-0.5, dtype), "half": np.array(0.5, dtype), "one": np.array(1, dtype), "r2": np.array(2**-0.5, dtype), "axes": np.array([1], np.int64),
    }
    nodes = [h.make_node("Gather", ["words", "ids"], ["e"]), h.make_node("LayerNormalization", ["e", "g", "b"], ["n"], axis=-1)]
    nodes += [h.make_node("MatMul", ["n", f"w{c}"], [c]) for c in "qkv"]
    nodes += [
        h.make_node("Transpose", ["k"], ["kt"], perm=[0, 2, 1]),
        h.make_node("MatMul", ["q", "kt"], ["s0"]),
        h.make_node("Mul", ["s0", "root"], ["s1"]),
        h.make_node("Softmax", ["s1"], ["s2"], axis=-1),
        h.make_node("MatMul", ["s2", "v"], ["a0"]),
        h.make_node("MatMul", ["a0", "wo"], ["a1"]),
        h.make_node("Add", ["a1", "e"], ["res"]),
        h.make_node("MatMul", ["res", "w1"], ["h0"]),
        h.make_node("Add", ["h0", "b1"], ["h1"]),
        h.make_node("Mul", ["h1", "r2"], ["e0"]),
        h.make_node("Erf", ["e0"], ["e1"]),
        h.make_node("Add", ["e1", "one"], ["e2"]),
        h.make_node("Mul", ["h1", "e2"], ["e3"]),
        h.make_node("Mul", ["e3", "half"], ["gelu"]),
        h.make_node("MatMul", ["gelu", "w2"], ["out"]),
        h.make_node("ReduceMean", ["out", "axes"], ["y"], keepdims=0),
    ]
    model = build(nodes, {"ids": (T.INT64, ["N", "L"])}, {"y": (kind, ["N", 8])}, held)
    return model, [{"ids": rng.integers(0, 20, shape, dtype=np.int64)} for shape in ((1, 4), (3, 7))]


def recurrent_network(dtype, op, gates):
    kind = TYPES[dtype]
    random = lambda *shape: (0.3 * rng.standard_normal(shape)).astype(dtype)
    held = {"w": random(2, gates * 5, 4), "r": random(2, gates * 5, 5), "b": random(2, 2 * gates * 5)}
    nodes = [h.make_node(op, ["x", "w", "r", "b"], ["s", "last"], hidden_size=5, direction="bidirectional"), h.make_node("Transpose", ["s"], ["y"], perm=[2, 0, 1, 3])]
    outputs = {"y": (kind, None), "last": (kind, None)}
    model = build(nodes, {"x": (kind, ["L", "N", 4])}, outputs, held)
    return model, [{"x": random(*shape)} for shape in ((3, 1, 4), (6, 2, 4))]


def bytes_network():
    """u8 pixels in, a normalised image, u8 out."""
    held = {"w": rng.standard_normal((3, 3, 1, 1)).astype(np.float32), "low": np.float32(0), "high": np.float32(255), "scale": np.float32(1 / 255)}
    nodes = [
        h.make_node("Cast", ["x"], ["f"], to=T.FLOAT),
        h.make_node("Mul", ["f", "scale"], ["n"]),
        h.make_node("Transpose", ["n"], ["t"], perm=[0, 3, 1, 2]),
        h.make_node("Conv", ["t", "w"], ["c"]),
        h.make_node("Sigmoid", ["c"], ["s"]),
        h.make_node("Mul", ["s", "high"], ["m"]),
        h.make_node("Floor", ["m"], ["fl"]),
        h.make_node("Clip", ["fl", "low", "high"], ["cl"]),
        h.make_node("Cast", ["cl"], ["y"], to=T.UINT8),
    ]
    model = build(nodes, {"x": (T.UINT8, ["N", "H", "W", 3])}, {"y": (T.UINT8, None)}, held)
    return model, [{"x": rng.integers(0, 256, shape).astype(np.uint8)} for shape in ((1, 4, 6, 3), (2, 5, 5, 3))]


def small_integers():
    """Movement, comparison and choice on i8, u8 and bool."""
    held = {"limit": np.int8(3), "axes": np.array([1], np.int64), "order": np.array([2, 0], np.int64)}
    nodes = [
        h.make_node("Greater", ["x", "limit"], ["big"]),
        h.make_node("Cast", ["big"], ["bits"], to=T.UINT8),
        h.make_node("ReduceMax", ["bits", "axes"], ["any"], keepdims=0),
        h.make_node("Gather", ["x", "order"], ["picked"], axis=1),
        h.make_node("Concat", ["picked", "x"], ["joined"], axis=1),
        h.make_node("ReduceMin", ["joined", "axes"], ["least"], keepdims=0),
        h.make_node("Where", ["big", "x", "limit"], ["chosen"]),
        h.make_node("Not", ["big"], ["small"]),
    ]
    outputs = {"any": (T.UINT8, None), "joined": (T.INT8, None), "least": (T.INT8, None), "chosen": (T.INT8, None), "small": (T.BOOL, None)}
    model = build(nodes, {"x": (T.INT8, ["N", 4])}, outputs, held)
    return model, [{"x": rng.integers(-9, 9, (n, 4)).astype(np.int8)} for n in (1, 3)]


def cases():
    for dtype, name in ((np.float16, "f16"), (np.float64, "f64")):
        # onnxruntime has no convolution and no Erf of f64: ONNX's own evaluator answers.
        oracle = ["onnx"] if name == "f64" else []
        yield (f"image_{name}", *image_network(dtype), *oracle)
        yield (f"text_{name}", *text_network(dtype), *oracle)
        for op, gates in (("LSTM", 4), ("GRU", 3), ("RNN", 1)):
            if name == "f16":
                yield (f"{op.lower()}_{name}", *recurrent_network(dtype, op, gates))
    yield ("bytes", *bytes_network())
    yield ("small_integers", *small_integers())
