#!/usr/bin/env python3
"""A 16 MB input in a KServe V2 message, and the same in shared memory.

    deploy/python-venv --requirements tests/requirements-kserve.txt --exec tests/bench/kserve_large_input.py [--bin FOLDER]

The model takes the maximum of each of 1,024 rows, which costs little beside getting them there. tritonclient asks in
turn, one request at a time; printed are the medians and the median of the pairs' ratios. With --write the time counts in
which the client puts the tensor into the message or into the region.
"""
import argparse
import os
import pathlib
import statistics
import sys
import tempfile
import time

import numpy as np
import onnx
import tritonclient.grpc as triton
import tritonclient.utils.shared_memory as shm
from onnx import TensorProto, helper

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/clients"))
ROWS, COLUMNS = 1024, 4096
WARM_UP = 5


def maximum():
    """x [N, 4096] -> y [N, 1]"""
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", width]) for name, width in (("x", COLUMNS), ("y", 1))]
    node = helper.make_node("ReduceMax", ["x"], ["y"], axes=[1], keepdims=1)
    model = helper.make_model(helper.make_graph([node], "maximum", values[:1], values[1:]), opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    return model.SerializeToString()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", default=ROOT / "build/release/bin", type=pathlib.Path)
    parser.add_argument("--pairs", type=int, default=60)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    os.environ["PARAMD_BIN"] = str(options.bin / "paramd")
    from paramd_process import ParamdProcess  # pylint: disable=import-outside-toplevel

    rows = np.random.default_rng(7).random((ROWS, COLUMNS), np.float32)
    wanted = rows.max(1, keepdims=True)
    with tempfile.TemporaryDirectory() as folder:
        version = pathlib.Path(folder) / "maximum/1"
        version.mkdir(parents=True)
        (version / "model.onnx").write_bytes(maximum())
        (version.parent / "config.pbtxt").write_text(f"max_batch_size: {ROWS}\n")
        with ParamdProcess(folder, "--allow-client-shm") as daemon:
            client = triton.InferenceServerClient(daemon.grpc)
            key = f"/bench-{os.getpid()}"
            region = shm.create_shared_memory_region("rows", key, rows.nbytes)
            shm.set_shared_memory_region(region, [rows])
            client.register_system_shared_memory("rows", key, rows.nbytes)
            message, shared = (triton.InferInput("x", list(rows.shape), "FP32") for _ in range(2))
            message.set_data_from_numpy(rows)
            shared.set_shared_memory("rows", rows.nbytes)
            write = {message: lambda: message.set_data_from_numpy(rows), shared: lambda: shm.set_shared_memory_region(region, [rows])}
            times = {message: [], shared: []}
            for _ in range(WARM_UP + options.pairs):
                for tensor, taken in times.items():
                    start = time.perf_counter()
                    if options.write:
                        write[tensor]()
                    answer = client.infer("maximum", [tensor]).as_numpy("y")
                    taken.append(1000 * (time.perf_counter() - start))
                    if not np.array_equal(answer, wanted):
                        sys.exit("the answer is wrong")
            client.unregister_system_shared_memory()
            shm.destroy_shared_memory_region(region)
            client.close()
    pairs = list(zip(times[message][WARM_UP:], times[shared][WARM_UP:]))
    ratio = statistics.median(a / b for a, b in pairs)
    in_message, in_region = (statistics.median(pair[i] for pair in pairs) for i in (0, 1))
    print(f"{rows.nbytes >> 20} MiB: {in_message:.2f} ms in the message, {in_region:.2f} ms in shared memory, {ratio:.2f}x")


if __name__ == "__main__":
    main()
