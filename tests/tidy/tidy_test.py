#!/usr/bin/env python3
"""Style as a test: prints one line a violation and fails if there is any. Needs Python's standard library only."""
import pathlib
import re
import subprocess
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCES = (".cc", ".h")
LINES_MAX = 800  # A file that passes this has two jobs.

# Room -> rooms that it may include besides itself. The most specific room of a file counts.
BASE = {"runtime/base"}
TENSOR = BASE | {"runtime/tensor"}
PARAMS = TENSOR | {"runtime/params"}
CHECKPOINTS = PARAMS | {"runtime/checkpoints"}
BACKENDS = PARAMS | {"runtime/backends"}
GRAPH = BACKENDS | {"runtime/graph", "runtime/checkpoints", "runtime"}
RUNTIME = GRAPH | {
    "runtime/loading",
    "runtime/backends/reference",
    "runtime/backends/onednn",
    "runtime/backends/kernels",
}
SERVER = {
    "server/config",
    "server/observability",
    "server/state",
    "server/keeper",
    "server/repository",
    "server/batching",
    "server/versions",
    "server/predict",
}
MAY_INCLUDE = {
    "runtime": RUNTIME,  # runtime/model.h: what all models are.
    "runtime/base": BASE,
    "runtime/tensor": TENSOR,
    "runtime/params": PARAMS,
    "runtime/checkpoints": CHECKPOINTS,
    "runtime/backends": BACKENDS | {"runtime/backends/reference", "runtime/backends/onednn", "runtime/backends/kernels"},  # backend_list.
    "runtime/backends/reference": BACKENDS,
    "runtime/backends/onednn": BACKENDS,
    "runtime/backends/kernels": BACKENDS,
    # The reference defines what folding must give.
    "runtime/graph": GRAPH | {"runtime/backends/reference"},
    "runtime/loading": RUNTIME,
    "server/config": RUNTIME | SERVER | {"proto"},
    "server/observability": RUNTIME | SERVER,
    # The keeper's program: no model code, no metrics, no Protobuf.
    "server/keeper": PARAMS | {"server/config", "server/observability", "server/state"},
    "server/state": RUNTIME | SERVER,
    "server/repository": RUNTIME | SERVER,
    "server/batching": RUNTIME | SERVER - {"server/keeper", "server/state"},
    "server/versions": RUNTIME | SERVER,
    "server/predict": RUNTIME | SERVER,
    "server/rpc": RUNTIME | SERVER | {"proto"},
    "server/paramctl": RUNTIME | SERVER | {"proto", "server/rpc"},
    "server": RUNTIME | SERVER | {"server/rpc", "proto"},
}

# Header (regular expression) -> where it may be included.
LIBRARIES = {
    r"dnnl\.hpp|dnnl.*\.h|oneapi/.*": ("runtime/backends/onednn/",),
    r"prometheus/.*|CivetServer\.h": ("server/observability/",),
    r".*\.grpc\.pb\.h": ("server/rpc/", "server/paramctl/", "tests/"),
    r"grpcpp/.*|grpc/.*": ("server/rpc/", "server/paramctl/", "server/main.cc", "server/worker", "tests/"),
    r"ftxui/.*": ("server/paramctl/",),
    r"onnx/.*": ("runtime/checkpoints/", "runtime/graph/", "tests/", "server/paramctl/"),
}

# What (regular expression) -> (where it may stand, what to use instead).
WORDS = {
    r"std::(recursive_|shared_|timed_)?mutex\b|std::condition_variable|absl::Mutex\b|absl::CondVar\b": (
        ("runtime/base/mutex.",),
        "Mutex of runtime/base/mutex.h",
    ),
    # oneDNN's variable is how a test learns that it runs on an older CPU.
    r"\b(secure_)?getenv\(": (
        ("server/config/", "tests/conformance/named_conformance_test.cc"),
        "an option of server/config",
    ),
    r"\bsleep_for\b|\bsleep_until\b|absl::SleepFor|\busleep\(|\bnanosleep\(": (
        # The kernel gives no event for a page that is free again.
        ("runtime/loading/rate_limit.cc", "runtime/params/sealed_memory.cc"),
        "a condition, or tests/support/fake_clock.h",
    ),
    r"(?<![\w.])assert\(": ((), "CHECK or DCHECK"),
    r"\b(mt19937|default_random_engine)\w* \w+;": ((), "a generator with a seed"),
    r"DO NOT (MERGE|SUBMIT)": ((), "nothing"),
    r"\bstd::(cout|cerr)\b": (("server/paramctl/", "server/main.cc", "tests/"), "LOG"),
}

# Nothing in the repository may name the workshop that it was made in.
OUTSIDE = re.compile(r"\.\./" + r"shared\b|/wo" + r"rk/|\.lib" + r"rary/")


def tracked():
    listing = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z"], stdout=subprocess.PIPE, check=False).stdout
    names = [name for name in listing.decode().split("\0") if name]
    if not names:  # An unpacked archive has no git.
        names = [str(p.relative_to(ROOT)) for p in ROOT.rglob("*") if p.is_file() and "build" not in p.parts]
    return [name for name in names if (ROOT / name).is_file()]


FILES = tracked()
CODE = [name for name in FILES if name.endswith(SOURCES)]


def text(name):
    return (ROOT / name).read_text(errors="replace")


def room_of(name):
    """The most specific room that the file is in, or None."""
    folder = str(pathlib.PurePosixPath(name).parent)
    while folder not in (".", ""):
        if folder in MAY_INCLUDE or folder == "proto":
            return folder
        folder = str(pathlib.PurePosixPath(folder).parent)
    return None


def includes(name):
    return re.findall(r'^\s*#\s*include\s+["<]([^">]+)[">]', text(name), re.MULTILINE)


def without_comments(source):
    return re.sub(r"//[^\n]*|/\*.*?\*/", "", source, flags=re.DOTALL)


def include_direction():
    for name in CODE:
        room = room_of(name)
        if room is None or not name.startswith(("runtime/", "server/")):
            continue
        for header in includes(name):
            target = room_of(header) if header.startswith(("runtime/", "server/", "proto/", "tests/")) else None
            if header.startswith("tests/") or (target and target != room and target not in MAY_INCLUDE[room]):
                yield f"{name}: {room} may not include {header}; see the README.md on its door"


def library_headers():
    for name in CODE:
        for header in includes(name):
            for pattern, places in LIBRARIES.items():
                if re.fullmatch(pattern, header) and not name.startswith(places):
                    yield f"{name}: includes {header}, which is for {', '.join(places)} only"


def words():
    for name in CODE:
        source = without_comments(text(name))
        for pattern, (places, instead) in WORDS.items():
            if (match := re.search(pattern, source)) and not name.startswith(places or ("\0",)):
                yield f"{name}: {match[0]}: use {instead}"


def sources_in_one_target():
    lists = {name: text(name) for name in FILES if name.endswith("CMakeLists.txt")}
    for name in CODE:
        if not name.endswith(".cc"):
            continue
        path = pathlib.PurePosixPath(name)
        uses = 0
        for listing, content in lists.items():
            folder = pathlib.PurePosixPath(listing).parent
            if folder in path.parents:
                relative = path.relative_to(folder).as_posix()
                uses += len(re.findall(r"(?<![\w/.])" + re.escape(relative) + r"(?!\w)", content))
        if uses != 1:
            yield f"{name}: {uses} targets build it; list it in exactly one CMakeLists.txt"


def guards():
    for name in CODE:
        # Highway includes name-inl.h once an instruction set: its toggle is their guard.
        if name.endswith(".h") and not name.endswith("-inl.h"):
            guard = "PARAMD_" + re.sub(r"[/.]", "_", name).upper() + "_"
            if f"#ifndef {guard}\n#define {guard}\n" not in text(name):
                yield f"{name}: its include guard is not {guard}"
            if not text(name).startswith("//"):
                yield f"{name}: does not open with what it is, how it lives, and its threads"


def length():
    for name in CODE:
        if (lines := text(name).count("\n")) > LINES_MAX:
            yield f"{name}: {lines} lines; above {LINES_MAX} it has two jobs"


def doors():
    for folder in sorted({str(pathlib.PurePosixPath(name).parent) for name in CODE}):
        # The mirrors of rooms need no sign of their own.
        if not folder.startswith(("tests/runtime", "tests/server")) and not any((ROOT / folder).joinpath(*[".."] * up, "README.md").exists() for up in (0, 1)):
            yield f"{folder}: has no README.md on its door"
    for room in MAY_INCLUDE:
        if (ROOT / room).is_dir() and not (ROOT / room / "README.md").exists():
            yield f"{room}: has no README.md on its door"


def outside():
    for name in FILES:
        if pathlib.PurePosixPath(name).suffix in (".onnx", ".npy", ".bin") or "/corpus/" in name:
            continue
        if match := OUTSIDE.search(text(name)):
            yield f"{name}: names {match[0]}, which is not in this repository"


class TidyTest(unittest.TestCase):
    def check(self, rule):
        violations = list(rule())
        self.assertEqual(violations, [], "\n" + "\n".join(violations))

    def test_finds_the_sources(self):
        self.assertTrue(any(name.startswith("runtime/") for name in CODE), "no source file found")

    def test_include_direction(self):
        self.check(include_direction)

    def test_library_headers_stay_in_their_rooms(self):
        self.check(library_headers)

    def test_words_stay_in_their_rooms(self):
        self.check(words)

    def test_every_source_is_in_one_target(self):
        self.check(sources_in_one_target)

    def test_headers_open_with_what_they_are_and_have_guards(self):
        self.check(guards)

    def test_files_have_one_job(self):
        self.check(length)

    def test_every_room_has_a_door_sign(self):
        self.check(doors)

    def test_names_nothing_outside_the_repository(self):
        self.check(outside)


if __name__ == "__main__":
    sys.exit(unittest.main(verbosity=2))
