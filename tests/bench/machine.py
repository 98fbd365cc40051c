"""What a result is quoted with: the machine and the commit. Standard library only."""
import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]


def cpuinfo(key):
    """The first processor's value; empty where it has none."""
    match = re.search(rf"^{key}\s*:\s*(.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return match[1].strip() if match else ""


def processor():
    return cpuinfo("model name") or "unknown processor"


def commit():
    """Of the checkout, marked where it has changes."""
    done = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else "unknown"
