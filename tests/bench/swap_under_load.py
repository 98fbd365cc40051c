#!/usr/bin/env python3
"""Weights swapped under load: what requests notice of it, and whether anything is left behind.

    cmake --preset release -DPARAMD_BENCH=ON && cmake --build --preset release --target paramd paramctl swap_load
    deploy/python-venv --exec tests/bench/swap_under_load.py [--swaps N] [--requests N] [--output STEM] [--bin FOLDER]

A model of 55 MB in which every tensor of the two versions differs is asked at half of the rate that it can answer. One
swap: the file is dropped from the page cache, Load, Promote, Unload of the version before (so that the next swap finds
none of its segments), then a pause as long as the swap took, for comparison. Everything (daemon, loader, load
generator) shares this machine's cores.

Checked: no request fails; each answer is the one of the version and the generation that it names; each request sent
after Promote's reply is answered by the new generation; each load read the whole file (/proc/PID/io of the worker) and
the ledger is back to one version after each Unload; descriptors and threads after each hundred swaps are what they were
after the first hundred, memory within 2%. Measured: p50, p99 and the worst of requests that were due while a swap was
under way, against those due in the pauses between.

--output STEM writes STEM.txt (what is printed) and STEM.json (one swap's requests, for plot_swap.py). Ends with 1 when
something that is checked is not so; p99 and memory are printed against their bounds.
"""
import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/clients"), str(ROOT / "tests/bench")]

RECORD = np.dtype(
    [("due", "<i8"), ("sent", "<i8"), ("answered", "<i8"), ("generation", "<u8"), ("version", "<i8"), ("code", "<i4"),
     ("output", "<f4", 4), ("unused", "<u4")]
)  # fmt: skip
COLUMNS = 256
# Reading all weights once is what a lone request costs: about 55 MB.
WIDTHS = [COLUMNS, 4096, 2048, 2048, 10]
SEED = 20260
P99_RATIO_MAX = 1.25
MEMORY_SHARE_MAX = 0.02


def request_values(seed):
    """As swap_load.cc draws them: std::mt19937_64, 24 bits of each number."""
    state = [0] * 312
    mask = (1 << 64) - 1
    state[0] = seed
    for i in range(1, 312):
        state[i] = (6364136223846793005 * (state[i - 1] ^ (state[i - 1] >> 62)) + i) & mask
    values, at = [], 312
    while len(values) < COLUMNS:
        if at == 312:
            for i in range(312):
                x = (state[i] & 0xFFFFFFFF80000000) | (state[(i + 1) % 312] & 0x7FFFFFFF)
                state[i] = state[(i + 156) % 312] ^ (x >> 1) ^ (0xB5026F5AA96619E9 if x & 1 else 0)
            at = 0
        x = state[at]
        at += 1
        x ^= (x >> 29) & 0x5555555555555555
        x ^= (x << 17) & 0x71D67FFFEDA60000 & mask
        x ^= (x << 37) & 0xFFF7EEE000000000 & mask
        x ^= x >> 43
        values.append(x >> 40)
    return (np.array(values, np.float32) / np.float32(1 << 23) - np.float32(1)).reshape(1, COLUMNS)


def worker_facts(pids):
    """Descriptors, threads and memory of keeper and worker together; parameters count once, as what is mapped.

    Without pages of files: libraries' weigh less while other processes happen to map them too.
    """
    facts = {"descriptors": 0, "threads": 0, "memory_bytes": 0}
    for pid in pids:
        facts["descriptors"] += len(os.listdir(f"/proc/{pid}/fd"))
        facts["threads"] += len(os.listdir(f"/proc/{pid}/task"))
        for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith(("Pss_Anon:", "Pss_Shmem:")):
                facts["memory_bytes"] += int(line.split()[1]) * 1024
    return facts


def bytes_read(pid):
    return int(next(line.split()[1] for line in open(f"/proc/{pid}/io") if line.startswith("read_bytes"))), int(
        next(line.split()[1] for line in open(f"/proc/{pid}/io") if line.startswith("rchar"))
    )


def drop_from_cache(path):
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


class Bench:
    def __init__(self, arguments):
        os.environ["PARAMD_BIN"] = str(arguments.bin / "paramd")
        os.environ["PARAMCTL_BIN"] = str(arguments.bin / "paramctl")
        from messages import admin_pb2, admin_pb2_grpc
        from paramd_process import ParamdProcess, children
        from swap_models import MlpModel

        import grpc

        self.grpc, self.pb, self.children = grpc, admin_pb2, children
        self.arguments = arguments
        self.scratch = pathlib.Path(tempfile.mkdtemp(prefix="paramd-swap-", dir=arguments.scratch))
        self.model = MlpModel(WIDTHS, SEED)
        self.repository = self.scratch / "models"
        for version in (1, 2):
            self.model.write(self.repository / "mlp", version)
        self.size = os.path.getsize(self.file(1))
        (self.repository / "mlp/config.pbtxt").write_text("version_policy { specific { versions: 1 } }\n")
        self.daemon = ParamdProcess(self.repository, *arguments.daemon_flags).wait_ready()
        self.channel = grpc.insecure_channel(f"unix:{self.daemon.admin_socket}")
        self.admin = admin_pb2_grpc.ModelAdminStub(self.channel)
        self.admin.SetAutoPromote(admin_pb2.SetAutoPromoteRequest(model="mlp", on=False))
        self.swaps = []  # dicts of monotonic nanoseconds and facts
        self.wrong = []

    def file(self, version):
        return self.repository / "mlp" / str(version) / "model.onnx"

    def pids(self):
        return [self.daemon.process.pid, *self.children(self.daemon.process.pid)]

    def worker(self):
        return (self.children(self.daemon.process.pid) or [self.daemon.process.pid])[-1]

    def metric(self, name):
        import urllib.request

        page = urllib.request.urlopen(f"http://{self.daemon.metrics}/metrics", timeout=30).read().decode()
        return next(float(line.rpartition(" ")[2]) for line in page.splitlines() if line.startswith(name + " "))

    def generation(self, version):
        state = self.admin.GetState(self.pb.GetStateRequest(model="mlp")).models[0]
        return next(v.generation for v in state.versions if v.version == version)

    def answered(self, concurrency, seconds):
        """Requests a second with so many under way all the time."""
        ran = subprocess.run(
            [self.arguments.bin / "paramctl", "--address", self.daemon.grpc, "--json", "bench", "mlp", "--concurrency",
             str(concurrency), "--seconds", str(seconds)], capture_output=True, text=True, check=True)  # fmt: skip
        return json.loads(ran.stdout)["requests_per_second"]

    def capacity(self):
        """What 50% is half of."""
        return self.answered(8, 5)

    def load_generator(self, rate, output):
        return subprocess.Popen(
            [self.arguments.bin / "swap_load", "--target", self.daemon.grpc, "--model", "mlp", "--rate", str(rate),
             "--columns", str(COLUMNS), "--seed", str(SEED), "--output", str(output)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # fmt: skip

    def swap(self, old, new):
        drop_from_cache(self.file(new))
        before = bytes_read(self.worker())
        swap = {"version": new, "start": time.monotonic_ns()}
        for message in self.admin.Load(self.pb.LoadRequest(model="mlp", version=new), timeout=120):
            if message.HasField("outcome"):
                swap["resident"] = message.outcome.plans[0].resident_bytes if message.outcome.plans else 0
        swap["loaded"] = time.monotonic_ns()
        swap["generation"] = self.generation(new)
        swap["promote"] = time.monotonic_ns()
        self.admin.Promote(self.pb.PromoteRequest(model="mlp", version=new), timeout=120)
        swap["promoted"] = time.monotonic_ns()
        self.admin.Unload(self.pb.UnloadRequest(model="mlp", version=old), timeout=120)
        swap["end"] = time.monotonic_ns()
        swap["sealed"] = self.metric("paramd_store_sealed_bytes")
        after = bytes_read(self.worker())
        swap["read_from_disk"], swap["read"] = after[0] - before[0], after[1] - before[1]
        self.swaps.append(swap)
        return swap

    def run(self):
        arguments = self.arguments
        sealed_one = self.metric("paramd_store_sealed_bytes")
        capacity = self.capacity()
        rate = capacity * arguments.share
        # Before anything is counted heaps and caches reach their size: one of each version, and more requests under way
        # than a stall of this machine makes (a second of it grew the heap by 11 MB once, which is not the swaps' doing).
        self.swap(1, 2)
        self.answered(1024, 3)
        self.swap(2, 1)
        self.swaps.clear()
        records_file = self.scratch / "records"
        load = self.load_generator(rate, records_file)
        facts = {}
        try:
            time.sleep(2)
            began = time.monotonic()
            old, new = 1, 2
            for number in range(1, arguments.swaps + 1):
                swap = self.swap(old, new)
                old, new = new, old
                if swap["sealed"] != sealed_one:
                    self.wrong.append(f"swap {number}: {swap['sealed']:.0f} sealed bytes after Unload, one version has {sealed_one:.0f}")
                if swap["read"] < self.size:
                    self.wrong.append(f"swap {number}: {swap['read']} bytes were read of a file of {self.size}")
                if number % 100 == 0:
                    time.sleep(1)  # Tidying runs when nobody wants the cores.
                    facts[number] = worker_facts(self.pids())
                    print(f"{number} swaps: {facts[number]}", file=sys.stderr, flush=True)
                # At least as many requests as wanted, and a pause as long as the swap.
                left = (arguments.requests / rate - (time.monotonic() - began)) / (arguments.swaps - number + 1)
                took = (swap["end"] - swap["start"]) / 1e9
                time.sleep(max(arguments.pause * took, left - took, 0.05))
        finally:
            load.stdin.close()
            summary = json.loads(load.stdout.read())
            load.wait()
        records = np.fromfile(records_file, RECORD)
        return capacity, rate, summary, records, facts, sealed_one

    def stop(self):
        self.channel.close()
        self.daemon.stop()
        shutil.rmtree(self.scratch, ignore_errors=True)


def check(bench, records):
    """What must be so of every single request."""
    wrong = []
    failed = records[records["code"] != 0]
    if len(failed):
        wrong.append(f"{len(failed)} requests failed, the first with gRPC code {failed['code'][0]}")
    good = records[records["code"] == 0]
    x = request_values(SEED)
    for version in (1, 2):
        wanted = bench.model.answer(version, x)[0, :4]
        largest = np.abs(bench.model.answer(version, x)).max()
        rows = good[good["version"] == version]
        bad = np.abs(rows["output"] - wanted).max(axis=1) > 1e-3 * largest
        if bad.any():
            wrong.append(f"{bad.sum()} answers that name version {version} are not its answers")
    version_of = {}
    for generation, version in np.unique(good[["generation", "version"]]):
        if version_of.setdefault(generation, version) != version:
            wrong.append(f"generation {generation} answered as two versions")
    after = 0
    for number, swap in enumerate(bench.swaps):
        end = bench.swaps[number + 1]["promote"] if number + 1 < len(bench.swaps) else records["sent"].max() + 1
        rows = good[(good["sent"] > swap["promoted"]) & (good["answered"] < end)]
        after += len(rows)
        stale = rows[rows["generation"] != swap["generation"]]
        if len(stale):
            wrong.append(f"swap {number + 1}: {len(stale)} requests sent after Promote's reply got another generation")
    return wrong, after


def percentiles(latencies):
    return [float(np.percentile(latencies, q)) / 1e6 if len(latencies) else float("nan") for q in (50, 99, 100)]


def judge(bench, records):
    """Latencies, from when they were due, of requests due during swaps and of those due in the pauses between."""
    latency, due = records["answered"] - records["due"], records["due"]
    swapping, pausing = np.zeros(len(records), bool), np.zeros(len(records), bool)
    for swap, following in zip(bench.swaps, bench.swaps[1:]):
        swapping |= (due >= swap["start"]) & (due < swap["end"])
        pausing |= (due >= swap["end"]) & (due < following["start"])
    return latency[swapping], latency[pausing]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--swaps", type=int, default=200)
    parser.add_argument("--requests", type=int, default=50_000)
    parser.add_argument("--share", type=float, default=0.5, help="of the capacity that is asked for")
    parser.add_argument("--pause", type=float, default=1.0, help="pause after a swap, in times that the swap took")
    parser.add_argument("--bin", type=pathlib.Path, default=ROOT / "build/release/bin")
    parser.add_argument("--scratch", type=pathlib.Path, default=None, help="where the model lies; on a disk, not in memory")
    parser.add_argument("--output", type=pathlib.Path, default=None, help="STEM of the result files")
    parser.add_argument("--daemon-flags", nargs="*", default=[])
    arguments = parser.parse_args()
    from machine import commit, processor

    bench = Bench(arguments)
    try:
        capacity, rate, summary, records, facts, sealed_one = bench.run()
    finally:
        bench.stop()
    wrong, after = check(bench, records)
    wrong = bench.wrong + wrong
    in_swap, in_pause = judge(bench, records)
    lines = [
        f"{processor()}, {os.cpu_count()} cores, commit {commit()}",
        "tests/bench/swap_under_load.py " + " ".join(sys.argv[1:]),
        "",
        f"{arguments.swaps} swaps of {bench.model.parameter_bytes / 1e6:.1f} MB ({sealed_one / 1e6:.1f} MB sealed), "
        f"{summary['answered']} requests at {rate:.0f} a second, {arguments.share:.0%} of {capacity:.0f}",
        f"failed: {summary['failed']}; sent after a Promote's reply and before the next Promote: {after}",
        f"read by the worker for each load: {min(s['read'] for s in bench.swaps) / 1e6:.1f} MB at least, "
        f"of these from the disk {min(s['read_from_disk'] for s in bench.swaps) / 1e6:.1f} MB at least",
        "",
        f"{'':<28}{'requests':>10}{'p50':>12}{'p99':>12}{'max':>12}",
    ]
    rows = {}
    for name, latencies in (("due during a swap", in_swap), ("due in a pause", in_pause)):
        p50, p99, worst = rows[name] = percentiles(latencies)
        lines.append(f"{name:<28}{len(latencies):>10}{p50:>9.2f} ms{p99:>9.2f} ms{worst:>9.2f} ms")
    ratio = rows["due during a swap"][1] / rows["due in a pause"][1]
    lines.append(f"p99 during swaps / in pauses: {ratio:.2f} (bound: {P99_RATIO_MAX})")
    seconds = lambda a, b: [(s[b] - s[a]) / 1e9 for s in bench.swaps]
    lines.append(
        "a swap, median: "
        + ", ".join(
            f"{name} {np.median(seconds(a, b)):.3f} s"
            for name, a, b in (("load", "start", "loaded"), ("promote", "promote", "promoted"), ("unload", "promoted", "end"))
        )
    )
    if len(facts) > 1:
        first, last = facts[min(facts)], facts[max(facts)]
        lines.append("")
        for number in sorted(facts):
            f = facts[number]
            lines.append(f"after {number:>5} swaps: {f['descriptors']} descriptors, {f['threads']} threads, {f['memory_bytes'] / 1e6:.1f} MB (anonymous and shared memory of keeper and worker)")
        for key in ("descriptors", "threads"):
            if first[key] != last[key]:
                wrong.append(f"{key}: {first[key]} after {min(facts)} swaps, {last[key]} after {max(facts)}")
        change = last["memory_bytes"] / first["memory_bytes"] - 1
        lines.append(f"memory: {change:+.2%} (bound: {MEMORY_SHARE_MAX:.0%})")
    lines += ["", *(wrong or ["all that is checked is so"])]
    text = "\n".join(lines) + "\n"
    print(text)
    if arguments.output:
        arguments.output.with_suffix(".txt").write_text(text)
        write_timeline(bench, records, summary["failed"], arguments.output.with_suffix(".json"), commit())
    return 1 if wrong else 0


def write_timeline(bench, records, failed, path, commit):
    """The requests around a few swaps in the middle of the run, times in seconds from the first."""
    swaps = bench.swaps[len(bench.swaps) // 2 :][:3]
    begin = swaps[0]["start"] - (swaps[0]["end"] - swaps[0]["start"]) // 2
    end = swaps[-1]["end"] + (swaps[-1]["end"] - swaps[-1]["start"]) // 2
    rows = records[(records["due"] >= begin) & (records["due"] < end)]
    rows = rows[np.argsort(rows["due"])]
    document = {
        "commit": commit,
        "failed": failed,
        "model_megabytes": round(bench.model.parameter_bytes / 1e6, 1),
        "requests": [
            [round((r["due"] - begin) / 1e9, 4), round((r["answered"] - r["due"]) / 1e6, 2), int(r["version"])] for r in rows
        ],
        "swaps": [
            {key: round((swap[key] - begin) / 1e9, 5) for key in ("start", "loaded", "promoted", "end")} | {"version": swap["version"]}
            for swap in swaps
        ],
    }
    path.write_text(json.dumps(document, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    sys.exit(main())
