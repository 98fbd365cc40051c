#!/usr/bin/env python3
"""From kill -9 of the worker to the next good answer on a client that waits.

    cmake --preset release && cmake --build --preset release --target paramd paramctl
    deploy/python-venv --exec tests/bench/make_models.py alexnet
    deploy/python-venv --exec tests/bench/restart_time.py [--rounds N] [--gigabytes G] [--output FILE] [--bin FOLDER]

Models: AlexNet (244 MB), and G gigabytes of matrices made from a seed (4 by default), of which a request uses all. Each
round: a request is answered; the model's files are gone (moved away), the worker is killed; the same client, on the same
channel and with gRPC's standard retry policy, asks at once and again as soon as it has its answer. Counted: from the
kill to that answer. Between rounds the worker grows older than what the keeper takes for a crash loop (5 s). Before the rounds "collapsed" waits until the segments are huge pages (paramd does that after a load,
in the background); "not" sets the process and with it its children to small pages (prctl PR_SET_THP_DISABLE).
Printed: medians over the rounds with the bounds: 0.3 s for AlexNet; 0.5 s and 1 s for 4 GB.
"""
import argparse
import ctypes
import json
import os
import pathlib
import re
import shutil
import signal
import statistics
import sys
import tempfile
import time

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/clients"), str(ROOT / "tests/bench")]
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "paramd"
PR_SET_THP_DISABLE = 41
HEALTHY_S = 5.5  # The keeper takes crashes of workers younger than 5 s for a crash loop, and starts the next one later.
RETRY = {"methodConfig": [{"name": [{}], "retryPolicy": {"maxAttempts": 5, "initialBackoff": "0.01s", "maxBackoff": "0.1s",
         "backoffMultiplier": 2, "retryableStatusCodes": ["UNAVAILABLE"]}}]}  # fmt: skip


def available_bytes():
    return int(re.search(r"MemAvailable:\s+(\d+)", pathlib.Path("/proc/meminfo").read_text())[1]) * 1024


def make_large(folder, gigabytes):
    """A chain of 8192 x 8192 matrices as one ONNX file with external data beside it; returns its input's shape."""
    import onnx
    from onnx import helper

    size, layers = 8192, max(1, round(gigabytes * 1e9 / (4 * 8192 * 8192)))
    target = folder / "large/1"
    target.mkdir(parents=True)
    random = np.random.default_rng(4)
    tensors, nodes, value, offset = [], [], "x", 0
    with open(target / "weights.bin", "wb") as file:
        for layer in range(layers):
            tensor = onnx.TensorProto(name=f"w{layer}", data_type=onnx.TensorProto.FLOAT, dims=[size, size])
            tensor.data_location = onnx.TensorProto.EXTERNAL
            length = 4 * size * size
            for key, text in (("location", "weights.bin"), ("offset", str(offset)), ("length", str(length))):
                tensor.external_data.add(key=key, value=text)
            for _ in range(8):  # By parts: this machine's memory is for the model.
                part = random.standard_normal((size // 8, size), np.float32) * np.float32(size**-0.5)
                part.tofile(file)
            offset += length
            tensors.append(tensor)
            result = "y" if layer + 1 == layers else f"h{layer}"
            nodes.append(helper.make_node("MatMul", [value, f"w{layer}"], [result]))
            value = result
    graph = helper.make_graph(
        nodes, "large",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["N", size])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["N", size])], tensors)  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    (target / "model.onnx").write_bytes(model.SerializeToString())
    return layers * size * size * 4


def huge_bytes(pid):
    """Of the worker's shared mappings, what is huge pages."""
    total = 0
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(("ShmemPmdMapped:", "FilePmdMapped:")):
            total += int(line.split()[1]) * 1024
    return total


class Rounds:
    def __init__(self, arguments, repository, model, huge):
        os.environ["PARAMD_BIN"] = str(arguments.bin / "paramd")
        from messages import predict_pb2, predict_pb2_grpc
        import grpc
        import paramd_process

        paramd_process.PATIENCE_S = 1800  # Loading gigabytes at idle priority.
        self.children = paramd_process.children
        self.libc = ctypes.CDLL(None)
        self.libc.prctl(PR_SET_THP_DISABLE, 0 if huge else 1, 0, 0, 0)  # Children inherit it.
        self.daemon = paramd_process.ParamdProcess(repository, *arguments.daemon_flags)
        self.libc.prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0)
        try:
            self.daemon.wait_ready()
        except AssertionError:
            self.daemon.process.kill()
            raise
        self.channel = grpc.insecure_channel(
            self.daemon.grpc,
            # A request above this many bytes (256 KiB, unless it is set) is not kept for another attempt.
            [("grpc.service_config", json.dumps(RETRY)), ("grpc.per_rpc_retry_buffer_size", 64 << 20),
             ("grpc.max_receive_message_length", -1)],
        )  # fmt: skip
        self.stub = predict_pb2_grpc.PredictServiceStub(self.channel)
        from messages import model_pb2, model_pb2_grpc

        info = model_pb2_grpc.ModelServiceStub(self.channel).GetModelInfo(model_pb2.GetModelInfoRequest(model=model))
        shape = [1] + [dim.size for dim in info.inputs[0].shape[1:]]
        x = np.random.default_rng(1).standard_normal(shape, np.float32)
        self.request = predict_pb2.PredictRequest(
            model=model, inputs=[predict_pb2.Tensor(name=info.inputs[0].name, shape=shape, raw=x.tobytes())]
        )
        self.repository, self.model, self.bytes = repository, model, info.memory.unique_bytes + info.memory.shared_bytes

    def worker(self):
        return self.children(self.daemon.process.pid)[-1]

    def ask(self):
        return self.stub.Predict(self.request, timeout=60)

    def settle(self, huge):
        """Waits until paramd has made huge pages of what it can, or has stopped trying."""
        deadline, before = time.monotonic() + 60, -1
        while huge and time.monotonic() < deadline:
            now = huge_bytes(self.worker())
            if now == before and now > 0.9 * self.bytes:
                break
            before = now
            time.sleep(0.5)
        return huge_bytes(self.worker())

    def round(self):
        time.sleep(HEALTHY_S)
        good = self.ask()
        pid = self.worker()
        hidden = self.repository.parent / "hidden"
        os.rename(self.repository / self.model, hidden)
        try:
            begin = time.monotonic()
            os.kill(pid, signal.SIGKILL)
            answer = self.ask()
            took = time.monotonic() - begin
        finally:
            os.rename(hidden, self.repository / self.model)
        if answer.generation != good.generation or answer.outputs[0].raw != good.outputs[0].raw:
            raise SystemExit(f"{self.model}: another answer after the restart")
        if self.worker() == pid:
            raise SystemExit("the worker was not killed")
        return took

    def stop(self):
        self.channel.close()
        self.daemon.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--gigabytes", type=float, default=4.0, help="0 leaves the large model out")
    parser.add_argument("--bin", type=pathlib.Path, default=ROOT / "build/release/bin")
    parser.add_argument("--scratch", type=pathlib.Path, default=None)
    parser.add_argument("--output", type=pathlib.Path, default=None)
    parser.add_argument("--daemon-flags", nargs="*", default=[])
    arguments = parser.parse_args()
    from machine import commit, processor

    lines = [f"{processor()}, {os.cpu_count()} cores, commit {commit()}", "tests/bench/restart_time.py " + " ".join(sys.argv[1:]), "",
             f"{'model':<10}{'huge pages':>22}{'rounds':>8}{'median':>10}{'slowest':>10}{'bound':>8}"]  # fmt: skip
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="paramd-restart-", dir=arguments.scratch))
    try:
        cases = []
        alexnet = CACHE / "bench-models/alexnet"
        if alexnet.is_dir():
            shutil.copytree(alexnet, scratch / "a/models/alexnet")
            cases += [("alexnet", scratch / "a/models", True, 0.3), ("alexnet", scratch / "a/models", False, 0.3)]
        else:
            lines.append("alexnet is not there: make_models.py alexnet makes it")
        wanted = arguments.gigabytes * 1e9
        # The parameters, as much again for the page cache of the file, and one layer in scratch.
        if wanted and (left := available_bytes()) < 1.6 * wanted:
            lines.append(f"large: skipped, {left / 1e9:.1f} GB of memory are available and {1.6 * wanted / 1e9:.1f} GB are needed")
        elif wanted:
            make_large(scratch / "l/models", arguments.gigabytes)
            cases += [("large", scratch / "l/models", True, 0.5), ("large", scratch / "l/models", False, 1.0)]
        for model, repository, huge, bound in cases:
            rounds = Rounds(arguments, repository, model, huge)
            try:
                mapped = rounds.settle(huge)
                times = [rounds.round() for _ in range(arguments.rounds)]
            finally:
                rounds.stop()
            share = f"{mapped / 1e6:.0f} of {rounds.bytes / 1e6:.0f} MB"
            lines.append(f"{model:<10}{share:>22}{len(times):>8}{statistics.median(times):>8.3f} s{max(times):>8.3f} s{bound:>6.1f} s")
            print(lines[-1], flush=True)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    text = "\n".join(lines) + "\n"
    print("\n" + text)
    if arguments.output:
        arguments.output.write_text(text)


if __name__ == "__main__":
    main()
