#!/usr/bin/env python3
"""What the fusions are worth on a text encoder: paramd with them, paramd without them, onnxruntime.

    fusions_vs_peers.py FUSION_BENCH MODEL.onnx [--passes NAME,NAME] [--threads N] [--rounds N] ROWSxLENGTH ...

Interleaved within one run; per shape the median of each and of the ratios.
"""
import argparse
import pathlib
import statistics
import subprocess
import tempfile
import time

import numpy as np
import onnxruntime

FUSIONS = (
    "unflatten-transposes,move-transposes,fuse-gelu,fuse-silu,fuse-hard-swish,fuse-layer-norm,fuse-attention"
)


def feeds_of(session, rows, length):
    rng = np.random.default_rng(7)
    mask = np.ones((rows, length), np.int64)
    mask[rows // 2 :, length - length // 4 :] = 0
    values = {"input_ids": rng.integers(5, 20000, (rows, length), dtype=np.int64), "attention_mask": mask}
    return {i.name: values.get(i.name, np.zeros((rows, length), np.int64)) for i in session.get_inputs()}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("model")
    parser.add_argument("shapes", nargs="+")
    parser.add_argument("--passes", default=FUSIONS)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = args.threads
    session = onnxruntime.InferenceSession(args.model, options, providers=["CPUExecutionProvider"])
    print(f"# onnxruntime {onnxruntime.__version__}, {args.threads} thread(s), without: {args.passes}")
    print("# shape      with ms  without ms  onnxruntime ms   without/with  onnxruntime/with  apart")
    for shape in args.shapes:
        rows, length = (int(part) for part in shape.split("x"))
        feeds = feeds_of(session, rows, length)
        with tempfile.TemporaryDirectory() as folder:
            files = []
            for i, value in enumerate(feeds.values()):
                files.append(str(pathlib.Path(folder) / f"{i}.npy"))
                np.save(files[-1], value)
            engine = subprocess.Popen(
                [args.program, args.model, str(args.threads), args.passes, *files],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            apart = float(engine.stdout.readline().split()[1])

            def paramd(which, count):
                engine.stdin.write(f"{which} {count}\n")
                engine.stdin.flush()
                return float(engine.stdout.readline()) / count

            def peer(count):
                start = time.perf_counter()
                for _ in range(count):
                    session.run(None, feeds)
                return (time.perf_counter() - start) / count

            count = max(1, int(0.15 / paramd("without", 1)))
            ways = [lambda: paramd("with", count), lambda: paramd("without", count), lambda: peer(count)]
            times = [[], [], []]
            for turn in range(args.rounds + 1):
                for i in range(3):
                    took = ways[(i + turn) % 3]()
                    if turn > 0:  # The first round warms up.
                        times[(i + turn) % 3].append(took)
            engine.stdin.close()
            engine.wait()
        ms = [statistics.median(t) * 1e3 for t in times]
        ratios = [statistics.median(a / b for a, b in zip(times[i], times[0])) for i in (1, 2)]
        print(
            f"{shape:>8} {ms[0]:11.3f} {ms[1]:11.3f} {ms[2]:15.3f} {ratios[0]:14.2f} {ratios[1]:17.2f}  {apart:.1e}",
            flush=True,
        )


if __name__ == "__main__":
    main()
