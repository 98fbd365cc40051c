#!/usr/bin/env python3
"""Real models (conformance's real_models_test.py, and two that are quantized here) against ONNX Runtime, interleaved.

    cmake --preset release -DPARAMD_BENCH=ON && cmake --build --preset release --target engine_bench
    deploy/python-venv --requirements tests/bench/peers/requirements.txt --exec tests/bench/real_models_vs_peers.py
        [--models NAME ...] [--rounds N] [--threads N] [--bench PROGRAM] [--before PROGRAM] [--precision f32|bf16]

As engine_vs_peers.py: engines in processes of their own take turns, an engine's number is the median of its rounds, a
ratio the median over rounds of the other's time by paramd's. --before is an older engine_bench, which takes part too.
Answers are compared with ONNX Runtime's: max|a - b| / max|b| of the first output.
"""
import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

import numpy as np

import engine_vs_peers
from engine_vs_peers import CACHE, GOLDEN, ROOT, Engine, take_turns
from machine import commit, processor

MODELS = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "paramd/models"
PACKAGES = ("magika", "silero-vad", "rapidocr-v4", "paraphrase-minilm-l3-onnx", "minilm-l6-v2-int8-onnx")


def floats(random, *shape):
    return random.standard_normal(shape).astype(np.float32)


def tokens(random, rows, length):
    mask = np.ones((rows, length), np.int64)
    mask[rows // 2 :, length - length // 4 :] = 0
    return [random.integers(5, 20000, (rows, length), dtype=np.int64), mask, np.zeros((rows, length), np.int64)]


def quantized_minilm():
    """paraphrase-MiniLM with weights of 8 bits: DynamicQuantizeLinear and MatMulInteger, as ONNX Runtime's tool writes."""
    path = CACHE / "minilm-l3-dynamic-int8" / "model.onnx"
    if not path.exists():
        from onnxruntime.quantization import QuantType, quantize_dynamic

        path.parent.mkdir(parents=True, exist_ok=True)
        source = MODELS / "paraphrase-minilm-l3-onnx/paraphrase-MiniLM-L3-v2.onnx"
        quantize_dynamic(str(source), str(path), weight_type=QuantType.QInt8, per_channel=True)
    return path


def quantized_efficientnet():
    """efficientnet-lite0 between QuantizeLinear and DequantizeLinear; calibrated on noise, so only its speed is real."""
    path = CACHE / "efficientnet-lite0-qdq" / "model.onnx"
    if not path.exists():
        import onnxruntime
        from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

        class Noise(CalibrationDataReader):
            def __init__(self):
                random = np.random.default_rng(7)
                node = onnxruntime.InferenceSession(str(GOLDEN), providers=["CPUExecutionProvider"]).get_inputs()[0]
                self.rows = iter([{node.name: floats(random, 1, *node.shape[1:])} for _ in range(8)])

            def get_next(self):
                return next(self.rows, None)

        path.parent.mkdir(parents=True, exist_ok=True)
        quantize_static(
            str(GOLDEN),
            str(path),
            Noise(),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
        )
    return path


# name: (file, inputs in the model's order)
CELLS = {
    "magika": (lambda: MODELS / "magika/model.onnx", lambda r: [r.integers(0, 257, (1, 2048), dtype=np.int32)]),
    "silero-vad": (
        lambda: MODELS / "silero-vad/silero_vad.onnx",
        lambda r: [0.1 * floats(r, 1, 576), floats(r, 2, 1, 128), np.array(16000, np.int64)],
    ),
    "silero-16k-openvino": (
        lambda: MODELS / "silero-vad/silero_vad_openvino_16k.onnx",
        lambda r: [0.1 * floats(r, 1, 576), floats(r, 2, 1, 128)],
    ),
    "silero-16k-sequence": (
        lambda: MODELS / "silero-vad/silero_vad_16k_sequence.onnx",
        lambda r: [0.1 * floats(r, 64, 576), floats(r, 1, 1, 128), floats(r, 1, 1, 128)],
    ),
    "rapidocr-det": (
        lambda: MODELS / "rapidocr-v4/ch_PP-OCRv4_det_infer.onnx",
        lambda r: [floats(r, 1, 3, 480, 640)],
    ),
    "rapidocr-rec": (
        lambda: MODELS / "rapidocr-v4/ch_PP-OCRv4_rec_infer.onnx",
        lambda r: [floats(r, 4, 3, 48, 320)],
    ),
    "rapidocr-cls": (
        lambda: MODELS / "rapidocr-v4/ch_ppocr_mobile_v2.0_cls_infer.onnx",
        lambda r: [floats(r, 4, 3, 48, 192)],
    ),
    "minilm-l3": (
        lambda: MODELS / "paraphrase-minilm-l3-onnx/paraphrase-MiniLM-L3-v2.onnx",
        lambda r: tokens(r, 8, 64)[:2],
    ),
    "minilm-l6-weights8": (lambda: MODELS / "minilm-l6-v2-int8-onnx/model.onnx", lambda r: tokens(r, 8, 64)),
    "minilm-l3-int8": (quantized_minilm, lambda r: tokens(r, 8, 64)[:2]),
    "efficientnet-f32": (lambda: GOLDEN, lambda r: [floats(r, 1, 3, 224, 224)]),
    "efficientnet-qdq": (quantized_efficientnet, lambda r: [floats(r, 1, 3, 224, 224)]),
}


def cell(options, name, scratch):
    import onnxruntime

    path, make = CELLS[name]
    model = str(path())
    given = make(np.random.default_rng(20240601))
    nodes = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"]).get_inputs()
    if len(nodes) != len(given):
        raise SystemExit(f"{name}: {len(nodes)} inputs, {len(given)} given")
    files = []
    for i, array in enumerate(given):
        files.append(f"{scratch}/input{i}.npy")
        np.save(files[-1], array)
    engines = []
    for engine, program in (("paramd", options.bench), ("before", options.before), ("onnxruntime", None)):
        if engine == "before" and not program:
            continue
        arguments = [model, ",".join(files), f"{scratch}/{engine}.npy", options.precision, str(options.threads)]
        peer = [sys.executable, engine_vs_peers.__file__, "--serve", engine, *arguments]
        engines.append(Engine(engine, [program, *arguments] if program else peer, arguments[2]))
    take_turns(engines, options)
    reference = np.load(engines[-1].output)
    own = np.load(engines[0].output).reshape(reference.shape)
    error = float(np.abs(own - reference).max() / max(1e-30, np.abs(reference).max()))
    ratios = [statistics.median(other / mine for other, mine in zip(e.rounds, engines[0].rounds)) for e in engines[1:]]
    for engine in engines:
        engine.close()
    print(
        f"{name:21}"
        + "".join(f"{statistics.median(engine.rounds):>11.3f}" for engine in engines)
        + "".join(f"{ratio:>9.2f}" for ratio in ratios)
        + f"{error:>11.1e}",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=list(CELLS), choices=list(CELLS))
    parser.add_argument("--precision", default="f32", choices=["f32", "bf16"])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--block-ms", type=int, default=200)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--bench", default=str(ROOT / "build/release/bin/engine_bench"))
    parser.add_argument("--before", help="an older engine_bench")
    options = parser.parse_args()
    subprocess.run([sys.executable, str(ROOT / "deploy/fetch-models"), *PACKAGES], check=True, stdout=subprocess.PIPE)
    import onnxruntime

    names = ["paramd", *(["before"] if options.before else []), "ort"]
    print(f"# {processor()}, {os.cpu_count()} cores, commit {commit()}, onnxruntime {onnxruntime.__version__}, {options.precision}")
    print(f"# {options.threads} threads each, medians of {options.rounds} interleaved rounds of {options.block_ms} ms; ms an answer")
    print(f"# {' '.join(['tests/bench/real_models_vs_peers.py', *sys.argv[1:]])}")
    titles = [f"{name:>11}" for name in names] + [f"{name + ' /':>9}" for name in names[1:]]
    print(f"{'model':21}{''.join(titles)}{'difference':>11}", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        for name in options.models:
            cell(options, name, scratch)


if __name__ == "__main__":
    main()
