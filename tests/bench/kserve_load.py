#!/usr/bin/env python3
"""perf_analyzer against paramd, and against any other KServe V2 server, in turn.

    deploy/python-venv --requirements tests/bench/requirements-perf.txt --exec \\
        tests/bench/kserve_load.py --repository MODELS --model NAME [--model NAME ...] [--peer HOST:PORT ...]
    ... --model minilm --input-data tests/bench/sentence_of_32_tokens.json

Starts paramd (--bin FOLDER) with the repository, and asks each model at each --concurrency, with tensors in messages
and (--shared-memory) in shared memory, --rounds times, paramd and peers in turn. A peer serves the same models under
the same names: tests/bench/peers/triton_server.py is one. Printed: requests a second as the median over the rounds,
the 99th percentile of latency, and the median of the rounds' ratios paramd / peer; then perf_analyzer's warnings, of
which none should be paramd's. Needs Python's standard library only.
"""
import argparse
import csv
import os
import pathlib
import socket
import statistics
import subprocess
import sys
import tempfile

from machine import commit, processor

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/clients"))


def perf_analyzer():
    """The program and the environment that it needs."""
    folder = pathlib.Path(sys.prefix)
    environment = dict(os.environ)
    libraries = [str(path.parent) for path in folder.glob("lib/python*/site-packages/nvidia/cuda_runtime/lib/libcudart.so.12")]
    environment["LD_LIBRARY_PATH"] = ":".join(libraries + [environment.get("LD_LIBRARY_PATH", "")])
    program = folder / "bin/perf_analyzer"
    program.chmod(0o755)  # The wheel forgets it.
    return program, environment


class Load:
    def __init__(self, options):
        self.options = options
        self.program, self.environment = perf_analyzer()
        self.warnings = set()
        self.metrics = {}  # gRPC address -> that of its metrics, where they are collected.

    def collecting(self, address):
        if address not in self.metrics:
            return ()
        return ("--collect-metrics", "--metrics-url", f"{self.metrics[address]}/metrics", "--metrics-interval", "500")

    def measure(self, address, model, concurrency, shared_memory):
        """(requests a second, 99th percentile in microseconds); None where perf_analyzer found no stable answer"""
        with tempfile.NamedTemporaryFile(suffix=".csv") as report:
            command = [
                *(self.program, "-m", model, "-u", address, "-i", "grpc", "--concurrency-range", str(concurrency)),
                *("--measurement-interval", str(int(self.options.seconds * 1000)), "--percentile", "99"),
                *("--stability-percentage", "999", "--max-trials", "3", "-f", report.name),
                *(("--shared-memory", "system", "--output-shared-memory-size", "1048576") if shared_memory else ()),
                *(argument for shape in self.options.shape for argument in ("--shape", shape)),
                *self.collecting(address),
                *(("--input-data", self.options.input_data) if self.options.input_data else ()),
            ]
            done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
            said = done.stdout + done.stderr
            self.warnings |= {line for line in said.splitlines() if "warning" in line.lower()}
            if done.returncode:
                print(f"perf_analyzer failed on {model} at {address}:\n{said}", file=sys.stderr)
                return None
            row = next(csv.DictReader(open(report.name, encoding="utf-8")))
        return float(row["Inferences/Second"]), float(row["p99 latency"])


def answers(address):
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except OSError as error:
        print(f"{address} does not answer and is skipped: {error}")
        return False
    return True


def summary(rounds, number):
    """What is printed of one server: of all rounds in which it, and paramd, gave a number."""
    good = [r for r in rounds if r[number] and r[0]]
    if not good:
        return " not measured"
    text = f" {statistics.median(r[number][0] for r in good):.0f} ({statistics.median(r[number][1] for r in good):.0f})"
    if number:
        text += f", {statistics.median(r[0][0] / r[number][0] for r in good):.2f}x"
    return text


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repository", type=pathlib.Path, default=ROOT / "deploy/models")
    parser.add_argument("--model", action="append", help="all of the repository by default")
    parser.add_argument("--bin", default=ROOT / "build/release/bin", type=pathlib.Path)
    parser.add_argument("--peer", action="append", default=[], metavar="HOST:PORT")
    parser.add_argument("--shape", action="append", default=[], metavar="INPUT:DIMS", help="of inputs with dynamic dimensions, for all models")
    parser.add_argument("--input-data", metavar="FILE", help="perf_analyzer's JSON, for all models")
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--shared-memory", action="store_true")
    parser.add_argument(
        "--collect-metrics", action="store_true", help="let perf_analyzer read paramd's: it misses those of GPUs, and says so"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2)
    options = parser.parse_args()
    os.environ["PARAMD_BIN"] = str(options.bin / "paramd")
    from paramd_process import ParamdProcess  # pylint: disable=import-outside-toplevel

    models = options.model or sorted(path.name for path in options.repository.iterdir() if (path / "1").is_dir())
    load = Load(options)
    print(f"{processor()}, {os.cpu_count()} cores, commit {commit()}, {options.rounds} rounds of {options.seconds} s")
    print("model, concurrency, tensors: paramd's requests a second (p99 us) | each peer's, paramd / peer")
    with ParamdProcess(options.repository, "--allow-client-shm") as daemon:
        addresses = [daemon.grpc, *(peer for peer in options.peer if answers(peer))]
        if options.collect_metrics:
            load.metrics[daemon.grpc] = daemon.metrics
        for model in models:
            for shared_memory in (False, True) if options.shared_memory else (False,):
                for concurrency in options.concurrency:
                    rounds = [[load.measure(a, model, concurrency, shared_memory) for a in addresses] for _ in range(options.rounds)]
                    line = f"{model}, {concurrency}, {'shared memory' if shared_memory else 'message'}:"
                    print(line + " |".join(summary(rounds, number) for number in range(len(addresses))), flush=True)
    for warning in sorted(load.warnings):
        print("perf_analyzer:", warning)


if __name__ == "__main__":
    main()
