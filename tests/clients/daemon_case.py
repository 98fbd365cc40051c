"""What tests of a running daemon begin and end with."""
import pathlib
import tempfile
import unittest

import grpc
from paramd_process import ParamdProcess


class DaemonCase(unittest.TestCase):
    """One daemon for a class of tests, on the repository that fill() makes. It must end without an error, too."""

    ARGUMENTS = ()

    @classmethod
    def fill(cls, repository):
        raise NotImplementedError

    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory(prefix="paramd-repository-")
        cls.repository = pathlib.Path(cls.scratch.name)
        cls.fill(cls.repository)
        cls.daemon = ParamdProcess(cls.repository, *cls.ARGUMENTS).wait_ready()
        cls.channel = grpc.insecure_channel(cls.daemon.grpc)

    @classmethod
    def tearDownClass(cls):
        cls.channel.close()
        status = cls.daemon.stop()
        cls.scratch.cleanup()
        if status != 0:
            raise AssertionError(f"paramd ended with {status}; its log:\n" + "".join(cls.daemon.log))
