#!/usr/bin/env python3
"""The engine alone against ONNX Runtime and OpenVINO, in one run, interleaved.

    cmake --preset release -DPARAMD_BENCH=ON && cmake --build --preset release --target engine_bench
    deploy/python-venv --exec tests/bench/make_models.py
    deploy/python-venv --requirements tests/bench/peers/requirements.txt --exec tests/bench/engine_vs_peers.py
        [--models NAME ...] [--batches N ...] [--precisions f32 bf16] [--rounds N] [--threads N] [--bench PROGRAM]

Every cell (model, batch, precision) runs all engines in turn, round after round, each for at least --block-ms at a
time; an engine's number is the median of its rounds in milliseconds an answer, and the ratio is the median over rounds
of peer / paramd, so that a slow moment of the machine meets both. Each engine runs in a process of its own, with the
same number of threads, and waits idle while another is measured. Answers are compared too: max|a - b| / max|b|
against ONNX Runtime's. ONNX Runtime has no bf16 kernels on x86; its f32 numbers stand in those rows.
"""
import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
from machine import commit, cpuinfo, processor

ROOT = pathlib.Path(__file__).resolve().parents[2]
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "paramd/bench-models"
GOLDEN = ROOT / "tests/golden/efficientnet-lite0/model.onnx"
MODELS = ("alexnet", "resnet50", "squeezenet", "efficientnet-lite0")


def model_path(name):
    return GOLDEN if name == "efficientnet-lite0" else CACHE / name / "1" / "model.onnx"


def serve_peer(engine, model, input_path, output_path, precision, threads):
    """What engine_bench does, for a peer: the same lines on standard output and input. Inputs: files, with commas."""
    arrays = [np.load(path) for path in input_path.split(",")]

    def resident():
        return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * 4096

    if engine == "onnxruntime":
        import onnxruntime

        before, begin = resident(), time.perf_counter()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        load = time.perf_counter() - begin
        feed = {node.name: array for node, array in zip(session.get_inputs(), arrays)}

        def answer():
            return session.run(None, feed)[0]
    else:
        import openvino

        before, begin = resident(), time.perf_counter()
        core = openvino.Core()
        graph = core.read_model(model)
        graph.reshape({graph.input(i): array.shape for i, array in enumerate(arrays)})
        compiled = core.compile_model(
            graph,
            "CPU",
            {
                "INFERENCE_NUM_THREADS": threads,
                "NUM_STREAMS": 1,
                "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_PRECISION_HINT": precision,
            },
        )
        load = time.perf_counter() - begin
        request = compiled.create_infer_request()
        given = [openvino.Tensor(array, shared_memory=True) for array in arrays]
        for i, tensor in enumerate(given):
            request.set_input_tensor(i, tensor)

        def answer():
            request.infer()
            return request.get_output_tensor(0).data

    first = np.array(answer())
    print(f"ready {load:.6f} {time.perf_counter() - begin:.6f} {before} {resident()}", flush=True)
    np.save(output_path, first)
    for line in sys.stdin:
        start = time.perf_counter()
        for _ in range(int(line)):
            answer()
        print(f"{time.perf_counter() - start:.9f}", flush=True)


class Engine:
    """One engine in a process of its own, idle until asked."""

    def __init__(self, name, command, output):
        self.name, self.output = name, output
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        words = self._read().split()
        if words[:1] != ["ready"]:
            raise SystemExit(f"engine_vs_peers: {name} did not become ready: {' '.join(command)}")
        self.load_s, self.first_answer_s = float(words[1]), float(words[2])
        self.added_bytes = int(words[4]) - int(words[3])
        self.answers, self.rounds = 1, []

    def _read(self):
        return self.process.stdout.readline()

    def run(self, answers):
        self.process.stdin.write(f"{answers}\n")
        self.process.stdin.flush()
        return float(self._read())

    def calibrate(self, block_s):
        """Answers that fill a block."""
        self.run(2)
        self.answers = max(1, round(block_s / max(1e-6, self.run(2) / 2)))

    def measure(self):
        self.rounds.append(self.run(self.answers) / self.answers * 1e3)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def take_turns(engines, options):
    for engine in engines:
        engine.calibrate(options.block_ms / 1e3)
    for number in range(options.rounds):
        for turn in range(len(engines)):  # Nobody is always first.
            engines[(turn + number) % len(engines)].measure()


def cell(options, name, batch, precision, scratch):
    import onnxruntime

    model = str(model_path(name))
    shape = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"]).get_inputs()[0].shape
    array = np.random.default_rng([20240601, batch]).standard_normal((batch, *shape[1:])).astype(np.float32)
    given = f"{scratch}/input.npy"
    np.save(given, array)
    engines = []
    for engine in ("paramd", "onnxruntime", "openvino"):
        output = f"{scratch}/{engine}.npy"
        arguments = [model, given, output, precision, str(options.threads)]
        command = [options.bench, *arguments] if engine == "paramd" else [sys.executable, __file__, "--serve", engine, *arguments]
        engines.append(Engine(engine, command, output))
    take_turns(engines, options)
    reference = np.load(engines[1].output)
    own = np.load(engines[0].output).reshape(reference.shape)
    error = float(np.abs(own - reference).max() / np.abs(reference).max())
    top = int((own.reshape(batch, -1).argmax(1) == reference.reshape(batch, -1).argmax(1)).sum())
    ratios = [
        statistics.median(peer / mine for peer, mine in zip(engine.rounds, engines[0].rounds)) for engine in engines[1:]
    ]
    for engine in engines:
        engine.close()
    print(
        f"{name:19}{batch:>6}{precision:>6}"
        + "".join(f"{statistics.median(engine.rounds):>10.3f}" for engine in engines)
        + "".join(f"{ratio:>8.2f}" for ratio in ratios)
        + f"{error:>11.1e}{top:>5}/{batch:<4}"
        + "".join(f"{engine.first_answer_s:>7.2f}" for engine in engines)
        + "".join(f"{engine.added_bytes / 1e6:>7.0f}" for engine in engines),
        flush=True,
    )


def header(options):
    flags = cpuinfo("flags").split()
    import onnxruntime
    import openvino

    print(f"# {processor()}, {os.cpu_count()} cores, {' '.join(f for f in flags if f.startswith(('avx512_', 'amx')))}")
    print(f"# commit {commit()}, onnxruntime {onnxruntime.__version__}, openvino {openvino.__version__.split('-')[0]}")
    print(f"# {options.threads} threads each, medians of {options.rounds} interleaved rounds of {options.block_ms} ms")
    print(f"# {' '.join(['tests/bench/engine_vs_peers.py', *sys.argv[1:]])}")
    print(
        f"{'':31}{'ms an answer of the batch':^30}{'peer/paramd':^16}{'answers':^21}"
        f"{'first answer s':^21}{'memory added MB':^21}"
    )
    names = ("paramd", "ort", "openvino")
    print(
        f"{'model':19}{'batch':>6}{'type':>6}{''.join(f'{n:>10}' for n in names)}{'ort':>8}{'ov':>8}"
        f"{'difference':>11}{'top-1':>10}{''.join(f'{n[:6]:>7}' for n in names)}{''.join(f'{n[:6]:>7}' for n in names)}",
        flush=True,
    )


def main():
    if sys.argv[1:2] == ["--serve"]:
        engine, model, given, output, precision, threads = sys.argv[2:]
        serve_peer(engine, model, given, output, precision, int(threads))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=MODELS, choices=MODELS)
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8, 32])
    parser.add_argument("--precisions", nargs="+", default=["f32", "bf16"], choices=["f32", "bf16"])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--block-ms", type=int, default=200)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--bench", default=str(ROOT / "build/release/bin/engine_bench"))
    options = parser.parse_args()
    header(options)
    with tempfile.TemporaryDirectory() as scratch:
        for name in options.models:
            for precision in options.precisions:
                for batch in options.batches:
                    cell(options, name, batch, precision, scratch)


if __name__ == "__main__":
    main()
