"""proto/inference against the published protocol: every name and number, as tritonclient has them compiled in."""
import os
import pathlib
import subprocess
import tempfile
import unittest

from google.protobuf import descriptor_pb2
from paramd_process import ROOT
from tritonclient.grpc import model_config_pb2, service_pb2

PROTOC = os.environ.get("PROTOC") or "protoc"
# The Open Inference Protocol's, which Triton's file does not have: a field, and the map's messages.
BEYOND_TRITON = ("ModelMetadataResponse.properties", "ModelMetadataResponse.PropertiesEntry.")


def our_files():
    """What protoc makes of proto/inference."""
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "set"
        files = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "proto/inference").glob("*.proto"))
        subprocess.run([PROTOC, "-I", ".", "--include_imports", f"--descriptor_set_out={out}", *files], cwd=ROOT, check=True)
        return [f for f in descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes()).file if f.package == "inference"]


def compiled_in(*modules):
    files = [descriptor_pb2.FileDescriptorProto() for _ in modules]
    for file, module in zip(files, modules):
        module.DESCRIPTOR.CopyToProto(file)
    return files


class Names:
    """Messages' fields, enums' values and methods: full name -> what it is on the wire."""

    def __init__(self, files):
        self.fields, self.messages, self.values, self.methods = {}, set(), {}, {}
        for file in files:
            self._enums(file.enum_type, "")
            for message in file.message_type:
                self._message(message, "")
            for service in file.service:
                for method in service.method:
                    streams = (method.client_streaming, method.server_streaming)
                    self.methods[f"{service.name}.{method.name}"] = (method.input_type, method.output_type, streams)

    def _message(self, message, prefix):
        name = prefix + message.name
        self.messages.add(name)
        for field in message.field:
            self.fields[f"{name}.{field.name}"] = (field.number, field.type, field.label, field.type_name)
        self._enums(message.enum_type, name + ".")
        for nested in message.nested_type:
            self._message(nested, name + ".")

    def _enums(self, enums, prefix):
        for enum in enums:
            for value in enum.value:
                self.values[f"{prefix}{enum.name}.{value.name}"] = value.number


class ProtocolTest(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.ours, cls.theirs = Names(our_files()), Names(compiled_in(model_config_pb2, service_pb2))

    def test_every_call_is_the_published_one(self):
        self.assertEqual(self.ours.methods, self.theirs.methods)
        self.assertEqual(len(self.ours.methods), 20)

    def test_every_field_has_its_published_number_and_type(self):
        ours = {name: wire for name, wire in self.ours.fields.items() if not name.startswith(BEYOND_TRITON)}
        self.assertGreater(len(ours), 200)
        self.assertEqual({name: self.theirs.fields.get(name) for name in ours}, ours)

    def test_every_value_of_an_enum_has_its_published_number(self):
        self.assertGreater(len(self.ours.values), 10)
        self.assertEqual({name: self.theirs.values.get(name) for name in self.ours.values}, self.ours.values)

    def test_nothing_of_the_service_is_left_out(self):
        """Of configurations some is: what paramd has no use for is read as a field that is unknown."""
        service = Names(compiled_in(service_pb2))
        self.assertEqual(service.messages - self.ours.messages, set())
        self.assertEqual(set(service.fields) - set(self.ours.fields), set())


if __name__ == "__main__":
    unittest.main(verbosity=2)
