"""What `import magvit2` does to its user's process: nothing, quickly.

Each test runs a fresh interpreter, without the shape checks of conftest.py, and looks at it from inside: audit events,
the modules that were loaded, the global state that others rely on, and `-X importtime`.
"""

import json
import re
import subprocess
import sys
from typing import Any

import pytest

IMPORT_ONLY = "import magvit2"
EVERY_NAME = "import magvit2; [getattr(magvit2, name) for name in magvit2.__all__]"

# What optional packages bring, and what is slow to load: none of it before it is used.
NOT_LOADED = {
    "av",
    "PIL",
    "tyro",
    "rich",
    "torchmetrics",
    "skimage",
    "matplotlib",
    "scipy",
    "pyarrow",
    "huggingface_hub",
}

# Events of sys.addaudithook that reach outside of the process, beside opening a file for writing.
EFFECTS = ("socket.", "subprocess.", "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.mkdir", "os.remove",
           "os.rename", "os.rmdir", "os.putenv", "shutil.", "tempfile.", "urllib.", "signal.")  # fmt: skip

WATCH = """
import json, logging, os, sys, warnings
import torch

effects, watching = [], True

def watch(event, args):
    if not watching:
        return
    if event == "open" and (args[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        effects.append(f"open {args[0]} for writing")
    elif event.startswith(%(effects)r):
        effects.append(f"{event} {args}")

def state():
    loggers = [logging.getLogger(), *map(logging.getLogger, ("magvit2", *logging.root.manager.loggerDict))]
    return {
        "log handlers": [handler for log in loggers for handler in log.handlers],
        "log level": logging.getLogger().level,
        "warning filters": list(warnings.filters),
        "environment": dict(os.environ),
        "threads": torch.get_num_threads(),
        "generator": torch.get_rng_state().tolist(),
        "precision": (torch.get_default_dtype(), torch.get_float32_matmul_precision()),
        "folder": os.getcwd(),
    }

before = state()
sys.addaudithook(watch)
%(statement)s
watching = False
after = state()
print(json.dumps({
    "effects": effects,
    "changed": [name for name in before if before[name] != after[name]],
    "cuda": torch.cuda.is_initialized(),
    "modules": sorted({name.partition(".")[0] for name in sys.modules}),
}))
"""


def run_python(*arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done


def observed(statement: str) -> dict[str, Any]:
    script = WATCH % {"effects": EFFECTS, "statement": statement}
    found: dict[str, Any] = json.loads(run_python("-B", "-c", script).stdout)
    return found


@pytest.mark.parametrize("statement", [IMPORT_ONLY, EVERY_NAME], ids=["import", "every name"])
def test_importing_has_no_effects(statement: str) -> None:
    found = observed(statement)
    assert found["effects"] == []
    assert found["changed"] == []
    assert found["cuda"] is False
    assert not NOT_LOADED & set(found["modules"])


def test_effects_and_changes_would_be_seen() -> None:
    found = observed("""
import socket, subprocess, PIL
open(os.devnull, "w").close()
socket.socket().close()
subprocess.run([sys.executable, "-c", ""])
logging.basicConfig()
warnings.simplefilter("ignore")
torch.manual_seed(7)
torch.set_num_threads(torch.get_num_threads() + 1)
""")
    for effect in ("for writing", "socket.__new__", "subprocess.Popen"):
        assert any(effect in seen for seen in found["effects"])
    assert found["changed"] == ["log handlers", "warning filters", "threads", "generator"]
    assert NOT_LOADED & set(found["modules"]) == {"PIL"}


def test_the_import_alone_loads_no_torch() -> None:
    done = run_python("-c", "import magvit2, sys; print('torch' in sys.modules)")
    assert done.stdout.strip() == "False"


def test_the_command_line_loads_nothing_heavy_before_a_command_is_chosen() -> None:
    done = run_python("-c", "from magvit2.cli import main; import sys; print(*sys.modules)")
    assert not {"torch", "av", "torchmetrics", "skimage", "huggingface_hub"} & set(done.stdout.split())


def test_all_public_names_load_in_a_fraction_of_torch_s_own_time() -> None:
    """A ratio of two times of one process: however slow the machine is, both are."""
    lines = run_python("-X", "importtime", "-c", f"import torch; {EVERY_NAME}").stderr.splitlines()
    rows = [
        match.groups() for line in lines if (match := re.match(r"import time:\s+(\d+) \|\s+(\d+) \|( +)(\S+)", line))
    ]
    names = [name for *_, name in rows]
    end = names.index("torch")
    ours = sum(int(own) for own, *_ in rows[end + 1 :])
    assert any(name.startswith("magvit2.") for name in names[end + 1 :])
    assert ours < 0.4 * int(rows[end][1]), "\n".join(lines[-40:])
