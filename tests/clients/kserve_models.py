"""Models for the KServe V2 suite: one for each type that gives back what it gets, one that remembers, one to swap in."""
import onnx
from onnx import TensorProto, helper

# The protocol's name -> ONNX's type.
TYPES = {
    "BOOL": TensorProto.BOOL,
    "UINT8": TensorProto.UINT8,
    "UINT16": TensorProto.UINT16,
    "UINT32": TensorProto.UINT32,
    "UINT64": TensorProto.UINT64,
    "INT8": TensorProto.INT8,
    "INT16": TensorProto.INT16,
    "INT32": TensorProto.INT32,
    "INT64": TensorProto.INT64,
    "FP16": TensorProto.FLOAT16,
    "FP32": TensorProto.FLOAT,
    "FP64": TensorProto.DOUBLE,
    "BF16": TensorProto.BFLOAT16,
    "BYTES": TensorProto.STRING,
}


def _serialize(nodes, inputs, outputs, opset=17, initializers=()):
    graph = helper.make_graph(nodes, "kserve", inputs, outputs, list(initializers))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], producer_name="kserve_models.py")
    model.ir_version = 8
    onnx.checker.check_model(model)
    return model.SerializeToString()


def echo(datatype):
    """x [N, 2] of the type -> y, the same."""
    info = [helper.make_tensor_value_info(name, TYPES[datatype], ["N", 2]) for name in ("x", "y")]
    return _serialize([helper.make_node("Identity", ["x"], ["y"])], info[:1], info[1:])


def twice():
    """x [N, 2] strings -> y: each text twice."""
    info = [helper.make_tensor_value_info(name, TensorProto.STRING, ["N", 2]) for name in ("x", "y")]
    return _serialize([helper.make_node("StringConcat", ["x", "x"], ["y"])], info[:1], info[1:], opset=20)


def echo_many():
    """a [N, 2] f32, b [N, 2] i64, c [N, 2] f32 -> a2, b2, c2: the same."""
    types = {"a": TensorProto.FLOAT, "b": TensorProto.INT64, "c": TensorProto.FLOAT}
    nodes = [helper.make_node("Identity", [name], [name + "2"]) for name in types]
    return _serialize(
        nodes,
        [helper.make_tensor_value_info(name, type_, ["N", 2]) for name, type_ in types.items()],
        [helper.make_tensor_value_info(name + "2", type_, ["N", 2]) for name, type_ in types.items()],
    )


def running_sum():
    """x [1, 2], state [1, 2] -> y = stateN = state + x: what a stateful model does, in its shortest form."""
    f32 = TensorProto.FLOAT
    return _serialize(
        [helper.make_node("Add", ["x", "state"], ["stateN"]), helper.make_node("Identity", ["stateN"], ["y"])],
        [helper.make_tensor_value_info(name, f32, [1, 2]) for name in ("x", "state")],
        [helper.make_tensor_value_info(name, f32, [1, 2]) for name in ("y", "stateN")],
    )


def add(datatype=TensorProto.FLOAT, width=2):
    """x [N, width] -> y = x + x: another of the same shape, to be swapped for `echo`."""
    info = [helper.make_tensor_value_info(name, datatype, ["N", width]) for name in ("x", "y")]
    return _serialize([helper.make_node("Add", ["x", "x"], ["y"])], info[:1], info[1:])
