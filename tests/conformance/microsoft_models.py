"""Models of com.microsoft, as onnxruntime's optimiser and its quantizer write them."""
import numpy as np
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper

rng = np.random.default_rng(12)


def floats(*shape):
    return rng.standard_normal(shape).astype(np.float32)


def value(name, array_or_type, shape=None):
    return h.make_tensor_value_info(name, array_or_type, shape)


def one(op, inputs, outputs, held=None, domain="com.microsoft", opset=17, **attributes):
    """A node whose inputs are graph inputs (type, shape), or initializers in `held`; "" leaves one out."""
    held = held or {}
    names = [name if not name.startswith("_") else "" for name in inputs]
    node = h.make_node(op, names, list(outputs), domain=domain, **attributes)
    graph = h.make_graph(
        [node],
        "made",
        [value(n, *t) for n, t in inputs.items() if t is not None],
        [value(n, *t) for n, t in outputs.items()],
        initializer=[numpy_helper.from_array(a, n) for n, a in held.items()],
    )
    return h.make_model(graph, ir_version=8, opset_imports=[h.make_opsetid("", opset), h.make_opsetid("com.microsoft", 1)])


F = T.FLOAT
ROWS = {"x": (F, ["B", "S", 8])}
OUT = {"y": (F, None)}


def batches(**shapes):
    """Two data sets: every B is 1 and 2, every S 3 and 5."""
    result = []
    for sizes in ({"B": 1, "S": 3, "T": 4}, {"B": 2, "S": 5, "T": 6}):
        result.append({name: floats(*(sizes.get(d, d) for d in shape)) for name, shape in shapes.items()})
    return result


X = dict(x=("B", "S", 8))


def elementwise():
    for op in ("Gelu", "FastGelu", "QuickGelu"):
        yield op.lower(), one(op, ROWS, OUT), batches(**X)
    yield "bias_gelu", one("BiasGelu", ROWS | {"b": None}, OUT, {"b": floats(8)}), batches(**X)
    yield "fast_gelu_bias", one("FastGelu", ROWS | {"b": None}, OUT, {"b": floats(8)}), batches(**X)
    yield "fused_matmul", one("FusedMatMul", {"a": (F, ["B", 8, "S"]), "b": (F, ["B", "T", 8])}, OUT, alpha=0.5, transA=1, transB=1), batches(a=("B", 8, "S"), b=("B", "T", 8))
    yield "fused_gemm", one("FusedGemm", {"x": (F, ["B", 8]), "w": None, "c": None}, OUT, {"w": floats(8, 5), "c": floats(5)}, activation="LeakyRelu", activation_alpha=0.2), batches(x=("B", 8))
    for metric in ("euclidean", "sqeuclidean"):
        yield f"cdist_{metric}", one("CDist", {"x": (F, ["B", 8]), "r": None}, OUT, {"r": floats(5, 8)}, metric=metric), batches(x=("B", 8))
    image = dict(x=("B", 3, 8, 8))
    yield "fused_conv", one("FusedConv", {"x": (F, ["B", 3, 8, 8]), "w": None, "b": None}, OUT, {"w": floats(4, 3, 3, 3), "b": floats(4)}, activation="Relu", pads=[1, 1, 1, 1]), batches(**image)
    yield "fused_conv_add", one(
        "FusedConv", {"x": (F, ["B", 3, 8, 8]), "w": None, "b": None, "z": (F, ["B", 4, 8, 8])}, OUT, {"w": floats(4, 3, 3, 3), "b": floats(4)}, activation="Clip", activation_params=[0.0, 6.0], pads=[1, 1, 1, 1]
    ), batches(**image, z=("B", 4, 8, 8))


def norms():
    gamma, beta, bias = floats(8), floats(8), floats(8)
    both = ROWS | {"s": (F, ["B", "S", 8])}
    feeds = lambda: batches(**X, s=("B", "S", 8))
    yield "simplified_norm", one("SimplifiedLayerNormalization", ROWS | {"g": None}, OUT, {"g": gamma}, domain="", axis=-1, epsilon=1e-6), batches(**X)
    yield "skip_norm", one("SkipLayerNormalization", both | {"g": None, "b": None}, OUT, {"g": gamma, "b": beta}, epsilon=1e-5), feeds()
    sums = OUT | {"": (F, None)}
    yield "skip_norm_bias", one("SkipLayerNormalization", both | {"g": None, "b": None, "c": None}, OUT, {"g": gamma, "b": beta, "c": bias}), feeds()
    yield "skip_simplified_norm", one("SkipSimplifiedLayerNormalization", both | {"g": None}, OUT, {"g": gamma}), feeds()
    del sums
    ids = {"ids": (T.INT32, ["B", "S"]), "segments": (T.INT32, ["B", "S"])}
    tables = {"words": floats(20, 8), "places": floats(16, 8), "kinds": floats(2, 8), "g": gamma, "b": beta}
    embed = one("EmbedLayerNormalization", ids | {name: None for name in tables}, OUT | {"mask": (T.INT32, ["B"])}, tables)
    numbers = lambda b, s: {"ids": rng.integers(0, 20, (b, s), dtype=np.int32), "segments": rng.integers(0, 2, (b, s), dtype=np.int32)}
    yield "embed_norm", embed, [numbers(1, 3), numbers(2, 5)]


def attention():
    weights = {"w": floats(8, 24), "b": floats(24)}
    inputs = ROWS | {"w": None, "b": None}
    yield "attention", one("Attention", inputs, OUT, weights, num_heads=2), batches(**X)
    yield "attention_causal", one("Attention", inputs, OUT, weights, num_heads=2, unidirectional=1), batches(**X)
    masked = inputs | {"mask": (T.INT32, ["B", "S"])}
    feeds = batches(**X)
    for feed in feeds:
        mask = np.ones(feed["x"].shape[:2], np.int32)
        mask[-1, -1] = 0
        feed["mask"] = mask
    yield "attention_mask", one("Attention", masked, OUT, weights, num_heads=2), feeds
    lengths = inputs | {"mask": (T.INT32, ["B"])}
    ended = batches(**X)
    for feed in ended:
        feed["mask"] = np.full([feed["x"].shape[0]], feed["x"].shape[1] - 1, np.int32)
    yield "attention_lengths", one("Attention", lengths, OUT, weights, num_heads=2), ended
    past = inputs | {"_m": None, "past": (F, [2, "B", 2, "P", 4])}
    remembered = [{"x": floats(b, s, 8), "past": floats(2, b, 2, p, 4)} for b, s, p in ((1, 1, 3), (2, 2, 5))]
    yield "attention_past", one("Attention", past, OUT | {"present": (F, None)}, weights, num_heads=2, unidirectional=1), remembered
    three = {"q": (F, ["B", "S", 8]), "k": (F, ["B", "T", 8]), "v": (F, ["B", "T", 8])}
    shapes = dict(q=("B", "S", 8), k=("B", "T", 8), v=("B", "T", 8))
    yield "multi_head", one("MultiHeadAttention", three, OUT, num_heads=2), batches(**shapes)
    yield "multi_head_bias", one("MultiHeadAttention", three | {"b": None}, OUT, {"b": floats(24)}, num_heads=4), batches(**shapes)
    padded = batches(**shapes)
    for feed in padded:
        mask = np.ones((feed["k"].shape[0], feed["k"].shape[1]), np.int32)
        mask[0, -2:] = 0
        feed["m"] = mask
    yield "multi_head_mask", one("MultiHeadAttention", three | {"_b": None, "m": (T.INT32, ["B", "T"])}, OUT, num_heads=2), padded
    small = dict(w=rng.integers(-60, 60, (8, 24)).astype(np.int8), b=floats(24), xs=np.float32(0.02), ws=np.float32(0.01))
    quantized = one(
        "QAttention", {"x": (T.UINT8, ["B", "S", 8]), "w": None, "b": None, "xs": None, "ws": None, "_m": None, "xz": None, "wz": None}, OUT,
        small | dict(xz=np.uint8(120), wz=np.int8(0)), num_heads=2,
    )
    yield "qattention", quantized, [{"x": rng.integers(0, 256, (b, s, 8)).astype(np.uint8)} for b, s in ((1, 3), (2, 5))]


def few_bits():
    u8 = lambda *shape: rng.integers(0, 256, shape).astype(np.uint8)
    scale = lambda x: np.float32(x)
    quantized = {"y": (T.UINT8, None)}
    pair = {"a": (T.UINT8, ["B", 6]), "as": None, "az": None, "b": (T.UINT8, ["B", 6]), "bs": None, "bz": None, "cs": None, "cz": None}
    held = dict(cs=scale(0.05), cz=np.uint8(100), bs=scale(0.03), bz=np.uint8(110)) | {"as": scale(0.02), "az": np.uint8(120)}
    for op in ("QLinearAdd", "QLinearMul"):
        yield op.lower(), one(op, pair, quantized, held), [{"a": u8(n, 6), "b": u8(n, 6)} for n in (1, 3)]
    alone = {"x": (T.UINT8, ["B", 2, 6, 6]), "xs": None, "xz": None, "ys": None, "yz": None}
    scales = dict(xs=scale(0.02), xz=np.uint8(120), ys=scale(0.01), yz=np.uint8(10))
    images = lambda: [{"x": u8(n, 2, 6, 6)} for n in (1, 3)]
    yield "qlinear_sigmoid", one("QLinearSigmoid", alone, quantized, scales | dict(ys=scale(1 / 256), yz=np.uint8(0))), images()
    yield "qlinear_leaky_relu", one("QLinearLeakyRelu", alone, quantized, scales, alpha=0.1), images()
    yield "qlinear_average_pool", one("QLinearAveragePool", alone, quantized, scales, kernel_shape=[3, 3], strides=[3, 3]), images()
    yield "qlinear_global_pool", one("QLinearGlobalAveragePool", alone, quantized, scales), images()
    both = {"ys": None, "yz": None, "a": (T.UINT8, ["B", 3]), "as": None, "az": None, "b": (T.UINT8, ["B", 2]), "bs": None, "bz": None}
    joined = dict(ys=scale(0.03), yz=np.uint8(128)) | {k: v for k, v in held.items() if k[0] != "c"}
    yield "qlinear_concat", one("QLinearConcat", both, quantized, joined, axis=1), [{"a": u8(n, 3), "b": u8(n, 2)} for n in (1, 3)]
    weights = dict(w=rng.integers(-80, 80, (8, 5)).astype(np.int8), ws=scale(0.01), wz=np.int8(3), bias=floats(5))
    dynamic = {"x": (F, ["B", 8]), "w": None, "ws": None, "wz": None, "bias": None}
    yield "dynamic_matmul", one("DynamicQuantizeMatMul", dynamic, OUT, weights), batches(x=("B", 8))
    to_float = {"x": (T.UINT8, ["B", 8]), "w": None, "xs": None, "ws": None, "xz": None, "wz": None, "bias": None}
    yield "matmul_to_float", one("MatMulIntegerToFloat", to_float, OUT, weights | dict(xs=scale(0.02), xz=np.uint8(7))), [{"x": u8(n, 8)} for n in (1, 3)]
    gemm = {"x": (T.UINT8, ["B", 8]), "xs": None, "xz": None, "w": None, "ws": None, "wz": None, "c": None, "ys": None, "yz": None}
    numbers = dict(xs=scale(0.02), xz=np.uint8(100), w=weights["w"], ws=scale(0.01), wz=np.int8(0), c=rng.integers(-900, 900, 5).astype(np.int32), ys=scale(0.05), yz=np.uint8(128))
    yield "qgemm", one("QGemm", gemm, quantized, numbers), [{"x": u8(n, 8)} for n in (1, 3)]


def cases():
    for family in (elementwise, norms, attention, few_bits):
        yield from family()
