#!/usr/bin/env python3
"""Small models that are made here, on inputs of several shapes, against onnxruntime.

    made_models_test.py NODE_TESTS [PART ...]

Families are modules beside this one, each with cases(): (name, model, feeds), and "onnx" where
ONNX's own evaluator answers. Values are seeded. PART: of a case's name.
"""
import pathlib
import sys
import tempfile

import microsoft_models
import ml_models
import typed_models
from onnx_cases import run_cases, write_case

FAMILIES = (ml_models, microsoft_models, typed_models)


def main():
    program, wanted = sys.argv[1], sys.argv[2:]
    with tempfile.TemporaryDirectory() as temporary:
        count = 0
        for family in FAMILIES:
            for name, model, feeds, *oracle in family.cases():
                if wanted and not any(part in name for part in wanted):
                    continue
                try:
                    write_case(pathlib.Path(temporary) / f"model_{name}", model, feeds, *oracle)
                except Exception as error:
                    sys.exit(f"{name}: no oracle runs it: {error}")
                count += 1
        sys.exit(run_cases(program, temporary, count) != 0)


if __name__ == "__main__":
    main()
