"""silero-vad through KServe V2: a real model with a state, which the daemon keeps for each sequence."""
import os
import pathlib
import queue
import shutil
import subprocess
import sys
import unittest

import numpy as np
import onnxruntime
import tritonclient.grpc as triton
from daemon_case import DaemonCase
from paramd_process import PATIENCE_S, ROOT

CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "paramd" / "models"
# As the package exports it, with an If over the sampling rate, and for one rate alone.
MODELS = {"silero": "silero_vad.onnx", "silero-16k": "silero_vad_16k_op15.onnx"}
RATE = np.array(16000, np.int64)
CHUNK = 64 + 512  # The end of the chunk before, and 32 ms.
SEED = 20261124


def speech(seconds, seed):
    """Bursts of harmonics in noise, cut into the chunks that the model is given."""
    random = np.random.default_rng([SEED, seed])
    time = np.arange(int(seconds * 16000)) / 16000
    tone = sum(np.sin(2 * np.pi * k * (110 + 30 * seed) * time) / k for k in range(1, 12))
    sound = 0.2 * tone * (np.sin(2 * np.pi * 1.7 * time) > 0) + 0.01 * random.standard_normal(len(time))
    padded = np.concatenate([np.zeros(64), sound]).astype(np.float32)
    return [padded[None, at : at + CHUNK] for at in range(0, len(padded) - CHUNK, 512)]


def wanted(file, chunks):
    """What onnxruntime answers to each, with the state carried by hand."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    state, answers = np.zeros((2, 1, 128), np.float32), []
    for chunk in chunks:
        output, state = session.run(["output", "stateN"], {"input": chunk, "state": state, "sr": RATE})
        answers.append((float(output[0, 0]), state))
    return answers


def infer_inputs(**arrays):
    inputs = []
    for name, array in arrays.items():
        inputs.append(triton.InferInput(name, list(array.shape), "INT64" if array.dtype == np.int64 else "FP32"))
        inputs[-1].set_data_from_numpy(array)
    return inputs


class SileroTest(DaemonCase):
    @classmethod
    def fill(cls, repository):
        fetch = [sys.executable, str(ROOT / "deploy/fetch-models"), "silero-vad"]
        subprocess.run(fetch, check=True, stdout=subprocess.PIPE)
        for model, file in MODELS.items():
            (repository / model / "1").mkdir(parents=True)
            shutil.copy(CACHE / "silero-vad" / file, repository / model / "1" / "model.onnx")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.client = triton.InferenceServerClient(cls.daemon.grpc)

    @classmethod
    def tearDownClass(cls):
        cls.client.close()
        super().tearDownClass()

    def test_the_daemon_keeps_the_state_of_each_sequence(self):
        for model, file in MODELS.items():
            sounds = [speech(2, seed) for seed in range(3)]
            expected = [wanted(CACHE / "silero-vad" / file, chunks) for chunks in sounds]
            spread = [probability for answers in expected for probability, _ in answers]
            self.assertGreater(max(spread) - min(spread), 0.1, "the sounds tell nothing apart")
            for i in range(len(sounds[0])):  # The three run beside each other.
                for number, chunks in enumerate(sounds):
                    answer = self.client.infer(
                        model,
                        infer_inputs(input=chunks[i], sr=RATE),
                        sequence_id=number + 1,
                        sequence_start=i == 0,
                        sequence_end=i == len(chunks) - 1,
                    )
                    self.assertEqual([o.name for o in answer.get_response().outputs], ["output"])
                    got = float(answer.as_numpy("output")[0, 0])
                    self.assertAlmostEqual(got, expected[number][i][0], delta=1e-4, msg=f"{model}, chunk {i}")

    def test_a_stream_is_one_sequence(self):
        chunks, answers = speech(2, 5), queue.Queue()
        expected = wanted(CACHE / "silero-vad" / MODELS["silero"], chunks)
        self.client.start_stream(lambda result, error: answers.put((result, error)))
        for i, chunk in enumerate(chunks):
            last = i == len(chunks) - 1
            self.client.async_stream_infer(
                "silero", infer_inputs(input=chunk, sr=RATE), sequence_id=9, sequence_start=i == 0, sequence_end=last
            )
        for probability, _ in expected:
            result, error = answers.get(timeout=PATIENCE_S)
            self.assertIsNone(error)
            self.assertAlmostEqual(float(result.as_numpy("output")[0, 0]), probability, delta=1e-4)
        self.client.stop_stream()

    def test_a_state_that_the_client_keeps(self):
        chunks, state = speech(1, 7), np.zeros((2, 1, 128), np.float32)
        expected = wanted(CACHE / "silero-vad" / MODELS["silero"], chunks)
        for chunk, (probability, next_state) in zip(chunks, expected):
            answer = self.client.infer("silero", infer_inputs(input=chunk, state=state, sr=RATE))
            self.assertAlmostEqual(float(answer.as_numpy("output")[0, 0]), probability, delta=1e-4)
            state = answer.as_numpy("stateN")
            self.assertLessEqual(float(np.abs(state - next_state).max()), 1e-3)


if __name__ == "__main__":
    unittest.main(verbosity=2)
