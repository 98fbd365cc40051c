#!/usr/bin/env python3
"""Triton with ONNX Runtime inside, as a peer of kserve_load.py: dynamic batching up to 32, 1 ms.

    PYTHON=/usr/bin/python3 deploy/python-venv --requirements tests/bench/peers/requirements-triton.txt --exec \\
        tests/bench/peers/triton_server.py --repository MODELS [--port 9001] [--threads N]

Serves <MODELS>/<name>/1/model.onnx under their names until it is interrupted. nvidia-pytriton carries a tritonserver whose
Python backend needs Python 3.11 from Debian 12; elsewhere this says that Triton is skipped, and exits with 77.
"""
import argparse
import pathlib
import sys

NUMPY = {"tensor(float)": "float32", "tensor(int64)": "int64", "tensor(int32)": "int32", "tensor(double)": "float64", "tensor(bool)": "bool"}


def skip(why):
    print(f"Triton is skipped: {why}", file=sys.stderr)
    sys.exit(77)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repository", type=pathlib.Path, required=True)
    parser.add_argument("--port", type=int, default=9001)
    parser.add_argument("--threads", type=int, default=0, help="of ONNX Runtime; 0: its own choice")
    options = parser.parse_args()
    if sys.version_info[:2] != (3, 11):
        skip(f"its Python backend wants Python 3.11, this is {sys.version.split()[0]}")
    try:
        import numpy as np
        import onnxruntime
        from pytriton.decorators import batch
        from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
        from pytriton.triton import Triton, TritonConfig, TritonSecurityConfig
    except (ImportError, OSError) as error:
        skip(error)

    def tensors(infos):
        return [
            Tensor(name=i.name, dtype=np.dtype(NUMPY[i.type]).type, shape=tuple(d if isinstance(d, int) else -1 for d in i.shape[1:]))
            for i in infos
        ]

    def runner(session):
        names = [output.name for output in session.get_outputs()]

        @batch
        def infer(**inputs):
            return dict(zip(names, session.run(names, inputs)))

        return infer

    session_options = onnxruntime.SessionOptions()
    session_options.intra_op_num_threads = options.threads
    config = TritonConfig(grpc_port=options.port, http_port=options.port + 1, metrics_port=options.port + 2)
    # perf_analyzer carries no token: statistics and shared memory are for everybody, as they are in Triton itself.
    with Triton(config=config, security_config=TritonSecurityConfig(restricted_endpoints=[])) as triton:
        for file in sorted(options.repository.glob("*/1/model.onnx")):
            session = onnxruntime.InferenceSession(file, session_options, providers=["CPUExecutionProvider"])
            triton.bind(
                model_name=file.parts[-3],
                infer_func=runner(session),
                inputs=tensors(session.get_inputs()),
                outputs=tensors(session.get_outputs()),
                config=ModelConfig(max_batch_size=32, batcher=DynamicBatcher(max_queue_delay_microseconds=1000)),
            )
        triton.serve()


if __name__ == "__main__":
    main()
