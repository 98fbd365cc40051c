#!/usr/bin/env python3
"""A small model beside a slow one: latency of digits alone, and while ResNet-50 is kept busy.

    cmake --preset release && cmake --build --preset release --target paramd paramctl
    deploy/python-venv --exec tests/bench/make_models.py resnet50
    tests/bench/mixed_load.py [--rounds N] [--seconds S] [--slow-at-a-time N] [--bin FOLDER]

One daemon serves both. Round after round digits is asked with one request at a time: alone, then while `paramctl bench`
keeps N requests to ResNet-50 under way. Printed: medians over the rounds, and what ResNet-50 got done meanwhile. Needs
Python's standard library only.
"""
import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import tempfile

from daemon_vs_echo import ROOT, Daemon, wait_ready
from machine import commit, processor

CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "paramd/bench-models"


def bench(bin, address, model, at_a_time, seconds, warm_up):
    return [bin / "paramctl", "--address", address, "--json", "bench", model, "--concurrency", str(at_a_time),
            "--seconds", str(seconds), "--warm-up", str(warm_up)]  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--slow-at-a-time", type=int, default=8)
    parser.add_argument("--bin", type=pathlib.Path, default=ROOT / "build/release/bin")
    arguments = parser.parse_args()
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="paramd-bench-"))
    shutil.copytree(ROOT / "deploy/models/digits", scratch / "models/digits")
    shutil.copytree(CACHE / "resnet50", scratch / "models/resnet50")
    daemon = Daemon(arguments.bin, scratch / "models", 18473, scratch)
    rows = []
    try:
        for model in ("digits", "resnet50"):
            wait_ready(arguments.bin, daemon.address, model)
        small = bench(arguments.bin, daemon.address, "digits", 1, arguments.seconds, 0.5)
        slow = bench(arguments.bin, daemon.address, "resnet50", arguments.slow_at_a_time, arguments.seconds + 1, 0.5)
        for _ in range(arguments.rounds):
            alone = json.loads(subprocess.run(small, capture_output=True, check=True).stdout)
            busy = subprocess.Popen(slow, stdout=subprocess.PIPE)
            beside = json.loads(subprocess.run(small, capture_output=True, check=True).stdout)
            rows.append((alone, beside, json.loads(busy.communicate()[0])))
    finally:
        daemon.stop()
        shutil.rmtree(scratch)
    print(f"{processor()}, commit {commit()}, {arguments.rounds} rounds of {arguments.seconds} s\n")
    print(f"{'digits':<28} {'a second':>9} {'p50':>10} {'p99':>10} {'max':>10}")
    for name, pick in (("alone", 0), (f"beside ResNet-50 x {arguments.slow_at_a_time}", 1)):
        p = lambda key: statistics.median(row[pick]["latency_seconds"][key] for row in rows) * 1e3
        rate = statistics.median(row[pick]["requests_per_second"] for row in rows)
        print(f"{name:<28} {rate:>9.0f} {p('p50'):>7.2f} ms {p('p99'):>7.2f} ms {p('max'):>7.2f} ms")
    rate = statistics.median(row[2]["requests_per_second"] for row in rows)
    p50 = statistics.median(row[2]["latency_seconds"]["p50"] for row in rows) * 1e3
    print(f"{'ResNet-50 meanwhile':<28} {rate:>9.1f} {p50:>7.2f} ms")


if __name__ == "__main__":
    main()
