"""Models for swapping weights: layers of matrix products, in which every tensor of every version differs.

A version's weights are drawn from its number, so that anybody can compute its answers again: `MlpModel.answer`.
"""
import os
import pathlib
import tempfile

import numpy as np
import onnx
from onnx import helper, numpy_helper


class MlpModel:
    """x [N, widths[0]] -> y [N, widths[-1]]: matrix products with biases, relu between them."""

    def __init__(self, widths, seed):
        self.widths, self.seed = list(widths), seed

    @property
    def parameter_bytes(self):
        return 4 * sum(a * b + b for a, b in zip(self.widths, self.widths[1:]))

    def layers(self, version):
        """[(weights, biases)]; scaled so that numbers keep their size from layer to layer."""
        random = np.random.default_rng([self.seed, version])
        for rows, columns in zip(self.widths, self.widths[1:]):
            weights = random.standard_normal((rows, columns), np.float32) * np.float32((2 / rows) ** 0.5)
            yield weights, random.standard_normal(columns, np.float32) * np.float32(0.1)

    def answer(self, version, x):
        layers = list(self.layers(version))
        for number, (weights, biases) in enumerate(layers):
            x = x @ weights + biases
            if number + 1 < len(layers):
                x = np.maximum(x, 0)
        return x

    def onnx(self, version, poison=None):
        """`poison`: the value that one weight of the first layer is replaced by."""
        nodes, tensors, value = [], [], "x"
        count = len(self.widths) - 1
        for number, (weights, biases) in enumerate(self.layers(version)):
            if poison is not None and number == 0:
                weights[0, 0] = poison
            tensors += [numpy_helper.from_array(weights, f"w{number}"), numpy_helper.from_array(biases, f"b{number}")]
            result = "y" if number + 1 == count else f"h{number}"
            nodes.append(helper.make_node("Gemm", [value, f"w{number}", f"b{number}"], [result], name=f"gemm{number}"))
            if number + 1 < count:
                nodes.append(helper.make_node("Relu", [result], [f"r{number}"], name=f"relu{number}"))
                result = f"r{number}"
            value = result
        graph = helper.make_graph(
            nodes,
            "mlp",
            [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["N", self.widths[0]])],
            [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["N", self.widths[-1]])],
            tensors,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], producer_name="swap_models.py")
        model.ir_version = 8
        return model.SerializeToString()

    def write(self, folder, version, **options):
        """FOLDER/<version>/model.onnx, whole or not at all; returns its path."""
        return write_version(folder, version, self.onnx(version, **options))


def write_version(folder, version, content, name="model.onnx"):
    target = pathlib.Path(folder) / str(version)
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=target, prefix=".model-", delete=False) as scratch:
        scratch.write(content)
    os.chmod(scratch.name, 0o644)
    os.rename(scratch.name, target / name)
    return target / name


def relative_error(got, wanted):
    return float(np.abs(got - wanted).max() / np.abs(wanted).max())
