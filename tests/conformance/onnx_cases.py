"""Models and onnxruntime's answers to them in the layout of ONNX's node tests, for the built program node_tests."""
import pathlib
import subprocess

import numpy as np
import onnx
import onnx.reference
import onnxruntime
from onnx import numpy_helper


def tensor_of(value):
    """Maps of class to probability (ZipMap) are the tensor of the probabilities here."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        value = np.array([[row[key] for key in row] for row in value], np.float32)
    return numpy_helper.from_array(np.asarray(value))


def write_data(folder, number, inputs, outputs):
    data = folder / f"test_data_set_{number}"
    data.mkdir()
    for kind, arrays in (("input", inputs), ("output", outputs)):
        for i, array in enumerate(arrays):
            (data / f"{kind}_{i}.pb").write_bytes(tensor_of(array).SerializeToString())


def write_case(folder, model, feeds, oracle="onnxruntime"):
    """`model`: a file or a message; `feeds`: inputs by name, one dictionary a data set."""
    if oracle == "onnx":
        folder.mkdir()
        (folder / "model.onnx").write_bytes(model.SerializeToString())
        evaluator = onnx.reference.ReferenceEvaluator(model)
        for number, values in enumerate(feeds):
            write_data(folder, number, [values[node.name] for node in model.graph.input], evaluator.run(None, values))
        return
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    folder.mkdir()
    if isinstance(model, pathlib.Path):
        (folder / "model.onnx").symlink_to(model)
        session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        model = onnx.load(str(model), load_external_data=False)
    else:
        (folder / "model.onnx").write_bytes(model.SerializeToString())
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    named = [node.name for node in session.get_inputs()]
    order = [node.name for node in model.graph.input if node.name in named]
    for number, values in enumerate(feeds):
        results = session.run(None, {name: values[name] for name in order})
        write_data(folder, number, [values[name] for name in order], results)


def run_cases(program, folder, count):
    """Runs all cases of the folder and prints the summary that tests print; the number of those that did not pass."""
    run = subprocess.run(
        [program, "--cases", str(folder), "--list", "/dev/null", "--table", "/dev/null", "--only", "model_"],
        stdout=subprocess.PIPE,
        text=True,
    )
    print(run.stdout, end="")
    lines = [line for line in run.stdout.splitlines() if line.startswith(("passed ", "refused ", "FAILED "))]
    failed = sum(not line.startswith("passed ") for line in lines) + count - len(lines)
    print(f"Ran {count} tests in 0.0s")
    print("OK" if failed == 0 else f"FAILED (failures={failed})")
    return failed
