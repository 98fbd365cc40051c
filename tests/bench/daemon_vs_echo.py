#!/usr/bin/env python3
"""The daemon against a bare gRPC echo of the same messages, and from start to first answer.

    cmake --preset release -DPARAMD_BENCH=ON && cmake --build --preset release --target paramd paramctl grpc_echo
    tests/bench/daemon_vs_echo.py [--rounds N] [--seconds S] [--alexnet FOLDER] [--bin FOLDER]

Both serve the digits model's messages (64 floats in, 10 out); `paramctl bench` is the client, in turn, round after
round, on the same cores. Printed: medians over the rounds, and the median of the rounds' ratios daemon / echo. Then
processes are started with the sample models (and with AlexNet, where its folder is given): the time from fork to the
first answer on a client that was waiting. Needs Python's standard library only.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import tempfile
import time

from machine import commit, processor

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Daemon:
    """paramd on ports that it is given: a fixed one, so that a client can wait for it."""

    def __init__(self, bin, repository, port, scratch):
        self.process = subprocess.Popen(
            [bin / "paramd", "--model-repository", repository, "--grpc-address", f"127.0.0.1:{port}",
             "--metrics-address", "", "--admin-socket", f"{scratch}/admin.sock", "--drain-grace", "0s"],
            stderr=subprocess.DEVNULL)  # fmt: skip
        self.address = f"127.0.0.1:{port}"

    def stop(self):
        self.process.terminate()
        self.process.wait()


def paramctl(bin, address, *arguments, check=True):
    return subprocess.run([bin / "paramctl", "--address", address, "--json", *arguments], capture_output=True, text=True, check=check)


def measure(bin, address, concurrency, seconds):
    report = json.loads(paramctl(bin, address, "bench", "digits", "--concurrency", str(concurrency), "--seconds", str(seconds), "--warm-up", "0.3").stdout)
    if report["errors"]:
        raise SystemExit(f"errors at {address}: {report}")
    return report["requests_per_second"], report["latency_seconds"]["p50"] * 1e6, report["latency_seconds"]["p99"] * 1e6


def wait_ready(bin, address, model):
    while paramctl(bin, address, "info", model, check=False).returncode or '"generation": "0"' in paramctl(bin, address, "info", model).stdout:
        time.sleep(0.05)


def first_answer(bin, repository, model, request, scratch, port):
    """Seconds from fork to the first answer, asked again and again by a client that starts a connection each time."""
    begin = time.monotonic()
    daemon = Daemon(bin, repository, port, scratch)
    try:
        while paramctl(bin, daemon.address, "predict", model, *request, check=False).returncode:
            pass
        return time.monotonic() - begin
    finally:
        daemon.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--alexnet", type=pathlib.Path, help="a repository that holds alexnet")
    parser.add_argument("--bin", type=pathlib.Path, default=ROOT / "build/release/bin")
    arguments = parser.parse_args()
    print(f"{processor()}, commit {commit()}, {arguments.rounds} rounds of {arguments.seconds} s\n")
    scratch = tempfile.mkdtemp(prefix="paramd-bench-")
    echo = subprocess.Popen([arguments.bin / "grpc_echo", "127.0.0.1:0", "digits", "10", "64"], stdout=subprocess.PIPE, text=True)
    echo_address = f"127.0.0.1:{echo.stdout.readline().strip()}"
    daemon = Daemon(arguments.bin, ROOT / "deploy/models", 18471, scratch)
    try:
        wait_ready(arguments.bin, daemon.address, "digits")
        print(f"{'at a time':>9} {'echo /s':>9} {'daemon /s':>9} {'ratio':>6} {'echo p50':>9} {'daemon p50':>10} {'ratio':>6} {'echo p99':>9} {'daemon p99':>10}")
        for concurrency in arguments.concurrency:
            rows = []
            for _ in range(arguments.rounds):
                one = measure(arguments.bin, echo_address, concurrency, arguments.seconds)
                rows.append((one, measure(arguments.bin, daemon.address, concurrency, arguments.seconds)))
            median = lambda pick: statistics.median(pick(row) for row in rows)
            print(f"{concurrency:>9} {median(lambda r: r[0][0]):>9.0f} {median(lambda r: r[1][0]):>9.0f} {median(lambda r: r[1][0] / r[0][0]):>6.2f}"
                  f" {median(lambda r: r[0][1]):>6.0f} us {median(lambda r: r[1][1]):>7.0f} us {median(lambda r: r[1][1] / r[0][1]):>6.2f}"
                  f" {median(lambda r: r[0][2]):>6.0f} us {median(lambda r: r[1][2]):>7.0f} us", flush=True)  # fmt: skip
    finally:
        daemon.stop()
        echo.kill()
    features = pathlib.Path(scratch, "request.json")
    features.write_text('{"features": [[6100, 3]]}')
    cases = [("the sample models", ROOT / "deploy/models", "house-price", ["--json-input", str(features)])]
    if arguments.alexnet:
        # A header and zeros, without numpy.
        image = pathlib.Path(scratch, "image.npy")
        header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 3, 224, 224), }"
        header += " " * (117 - len(header)) + "\n"
        image.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + bytes(4 * 3 * 224 * 224))
        cases.append(("AlexNet", arguments.alexnet, "alexnet", ["--input", f"data_0={image}"]))
    print()
    for name, repository, model, request in cases:
        times = [first_answer(arguments.bin, repository, model, request, scratch, 18472) for _ in range(5)]
        print(f"start to first answer with {name}: median {statistics.median(times):.3f} s, fastest {min(times):.3f} s (5 starts, warm page cache, the client's own start included)")


if __name__ == "__main__":
    main()
