"""A paramd whose repository and admin socket a test has in its hands, and clients that ask it without a pause."""
import pathlib
import socket
import subprocess
import tempfile
import threading
import time
import urllib.request

import grpc
import numpy as np
from messages import admin_pb2, admin_pb2_grpc, predict_pb2, predict_pb2_grpc
from paramd_process import PARAMCTL, PATIENCE_S, ParamdProcess, children


class Answer:
    def __init__(self, sent, ended, error=None, version=0, generation=0, output=None):
        self.sent, self.ended, self.error = sent, ended, error
        self.version, self.generation, self.output = version, generation, output


class Load:
    """Threads that ask without a pause; what each request met."""

    def __init__(self, address, model, x, threads=3, retries=False):
        self.x = x
        self.answers = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        options = [("grpc.enable_retries", int(retries))]
        self._channels = [grpc.insecure_channel(address, options + [("number", n)]) for n in range(threads)]
        self._request = predict_pb2.PredictRequest(
            model=model, inputs=[predict_pb2.Tensor(name="x", shape=x.shape, raw=x.tobytes())]
        )
        self._threads = [threading.Thread(target=self._run, args=(channel,)) for channel in self._channels]

    def _run(self, channel):
        stub = predict_pb2_grpc.PredictServiceStub(channel)
        while not self._stop.is_set():
            sent = time.monotonic()
            try:
                answer = stub.Predict(self._request, timeout=PATIENCE_S)
                output = np.frombuffer(answer.outputs[0].raw, np.float32)
                one = Answer(sent, time.monotonic(), None, answer.version, answer.generation, output)
            except grpc.RpcError as error:
                one = Answer(sent, time.monotonic(), f"{error.code().name}: {error.details()}")
            with self._lock:
                self.answers.append(one)

    def wait_for(self, more):
        """Until so many more requests were answered."""
        deadline = time.monotonic() + PATIENCE_S
        with self._lock:
            wanted = len(self.answers) + more
        while time.monotonic() < deadline:
            with self._lock:
                if len(self.answers) >= wanted:
                    return
            time.sleep(0.002)
        raise AssertionError("no answers")

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()
        for channel in self._channels:
            channel.close()


def free_address():
    """An address for the metrics of a daemon whose worker is killed: with port 0 each worker would choose another."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{one.getsockname()[1]}"


class Daemon:
    """A paramd with a repository of its own, and its admin socket."""

    def __init__(self, *arguments, metrics="127.0.0.1:0"):
        self.metrics = metrics
        self.folder = tempfile.TemporaryDirectory(prefix="paramd-swap-")
        self.repository = pathlib.Path(self.folder.name) / "models"
        self.repository.mkdir()
        self.arguments = arguments
        self.process = None

    def start(self):
        self.process = ParamdProcess(self.repository, *self.arguments, metrics=self.metrics).wait_ready()
        self.socket = self.process.admin_socket
        self.admin_channel = grpc.insecure_channel(f"unix:{self.socket}")
        self.admin = admin_pb2_grpc.ModelAdminStub(self.admin_channel)
        return self

    def stop(self):
        if self.process is None:
            return
        self.admin_channel.close()
        status = self.process.stop()
        self.folder.cleanup()
        if status != 0:
            raise AssertionError(f"paramd ended with {status}; its log:\n" + "".join(self.process.log))

    def load(self, model, version=0, dry_run=False):
        """The messages of the stream; raises the load's error."""
        request = admin_pb2.LoadRequest(model=model, version=version, dry_run=dry_run)
        return list(self.admin.Load(request, timeout=PATIENCE_S))

    def promote(self, model, version, name=""):
        request = admin_pb2.PromoteRequest(model=model, version=version, name=name)
        return self.admin.Promote(request, timeout=PATIENCE_S).name

    def unload(self, model, version, force=False):
        self.admin.Unload(admin_pb2.UnloadRequest(model=model, version=version, force=force), timeout=PATIENCE_S)

    def state(self, model):
        return self.admin.GetState(admin_pb2.GetStateRequest(model=model), timeout=PATIENCE_S).models[0]

    def version(self, model, number):
        return next((v for v in self.state(model).versions if v.version == number), None)

    def metric(self, series):
        page = urllib.request.urlopen(f"http://{self.process.metrics}/metrics", timeout=PATIENCE_S).read().decode()
        for line in page.splitlines():
            if line.startswith(series + " "):
                return float(line.rpartition(" ")[2])
        return None

    def paramctl(self, *arguments, check=True):
        ran = subprocess.run(
            [PARAMCTL, "--admin-socket", self.socket, *arguments], capture_output=True, text=True, timeout=PATIENCE_S
        )
        if check and ran.returncode != 0:
            raise AssertionError(f"paramctl {arguments}: {ran.stderr}")
        return ran

    def worker_pid(self):
        return children(self.process.process.pid)[0]


def until(condition, what):
    """Polls what has no event to wait for; returns what it gave."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.01)
    raise AssertionError(f"did not happen: {what}")
