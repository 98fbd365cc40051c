"""Generates the Python messages and stubs into a temporary folder, and imports them."""
import atexit
import importlib
import shutil
import sys
import tempfile

from grpc_tools import protoc
from paramd_process import ROOT

_folder = tempfile.mkdtemp(prefix="paramd-messages-")
atexit.register(shutil.rmtree, _folder, ignore_errors=True)
_files = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "proto/paramd/v1").glob("*.proto"))
if protoc.main(["protoc", f"-I{ROOT}", f"--python_out={_folder}", f"--grpc_python_out={_folder}", *_files]) != 0:
    raise ImportError("protoc refused proto/paramd/v1")
sys.path.insert(0, _folder)

predict_pb2 = importlib.import_module("proto.paramd.v1.predict_pb2")
predict_pb2_grpc = importlib.import_module("proto.paramd.v1.predict_pb2_grpc")
model_pb2 = importlib.import_module("proto.paramd.v1.model_pb2")
model_pb2_grpc = importlib.import_module("proto.paramd.v1.model_pb2_grpc")
admin_pb2 = importlib.import_module("proto.paramd.v1.admin_pb2")
admin_pb2_grpc = importlib.import_module("proto.paramd.v1.admin_pb2_grpc")
