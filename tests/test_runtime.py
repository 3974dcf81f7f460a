"""`tune`: what it changes, what it leaves alone, and that importing its module changes nothing.

Whatever changes a process is looked at in a process of its own.
"""

import json
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from magvit2 import runtime
from magvit2.errors import InputError
from magvit2.runtime import Setting, Tuning, small_products, tune

IS_GLIBC = platform.libc_ver()[0] == "glibc"

FAULTS = """
import json, resource, sys, torch
import magvit2.runtime
if sys.argv[1] == "tuned":
    magvit2.runtime.tune(1)
x = torch.ones(16 << 20)  # 64 MiB: above what glibc keeps by itself
for _ in range(12):  # the first few still grow the heap
    y = x + 1
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(8):
    y = x + 1
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""

STATE = """
import json, sys, torch
def state():
    return [torch.get_num_threads(), torch.get_float32_matmul_precision(), torch.backends.mkldnn.matmul.fp32_precision,
            torch.backends.mkldnn.conv.fp32_precision, torch.backends.cuda.matmul.allow_tf32, torch.get_default_dtype()]
before = state()
%s
print(json.dumps(before == state()))
"""

MANY_THREADS = """
import threading, torch
from magvit2.runtime import tune
tune(1)
sums = []
workers = [threading.Thread(target=lambda: sums.append((torch.ones(32 << 20) + 1).sum().item())) for _ in range(3)]
[worker.start() for worker in workers]
[worker.join() for worker in workers]
print(sums == [float(2 << 25)] * 3)
"""

STREAMED = """
import sys, torch
from magvit2.runtime import tune
sys.path.insert(0, sys.argv[1])
from tests.tiny import tiny_tokenizer
torch.set_num_threads(1)
tokenizer = tiny_tokenizer()
clips = torch.rand(2, 3, 10, 24, 40, generator=torch.Generator().manual_seed(0)) * 2 - 1
before = tokenizer.encode(clips)
tune()
ids = tokenizer.encode(clips)
streamed = torch.cat(list(tokenizer.encode_stream(clips[1].unbind(1))))
frames = torch.stack(list(tokenizer.decode_stream(ids[1].split(2))), dim=1)
print(torch.equal(before, ids), torch.equal(streamed, ids[1]), torch.equal(frames, tokenizer.decode(ids)[1]))
"""


def run_python(script: str, *arguments: object) -> str:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.skipif(not IS_GLIBC, reason="mallopt is glibc's")
def test_large_blocks_are_kept_where_they_were_mapped_anew() -> None:
    kept, given_back = (int(run_python(FAULTS, word)) for word in ("tuned", "not"))
    assert 2 * kept < given_back  # mostly 0, but a busy system may take pages of its own accord
    assert given_back > 100


def test_a_large_block_is_there_for_other_threads_too() -> None:
    assert run_python(MANY_THREADS) == "True"


@pytest.mark.parametrize("statement", ["import magvit2", "import magvit2.runtime", "from magvit2.runtime import tune"])
def test_importing_changes_nothing(statement: str) -> None:
    assert json.loads(run_python(STATE % statement)) is True


def test_the_change_would_be_seen() -> None:
    statement = f"from magvit2.runtime import tune; tune({torch.get_num_threads() + 1})"
    assert json.loads(run_python(STATE % statement)) is False


def test_ids_do_not_change_and_a_stream_still_equals_the_whole_clip() -> None:
    assert run_python(STREAMED, Path(__file__).parents[1]) == "True True True"


@pytest.fixture
def unchanged() -> Any:
    """What `tune` changes in PyTorch is put back after the test."""
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    yield
    torch.set_num_threads(threads)
    torch.set_float32_matmul_precision(precision)


@pytest.mark.usefixtures("unchanged")
def test_float32_matrices_are_still_multiplied_in_float32(generator: torch.Generator) -> None:
    tune()
    a, b = (torch.randn(512, 512, generator=generator) for _ in range(2))
    exact = a.double() @ b.double()
    error = ((a @ b) - exact).abs().mean()
    rounded = ((a.bfloat16().float() @ b.bfloat16().float()) - exact).abs().mean()
    assert error < 2e-5
    assert rounded > 100 * error


@pytest.mark.usefixtures("unchanged")
def test_it_says_what_it_did_and_again_when_asked_again() -> None:
    first, second = tune(1), tune()
    assert first == second
    assert first.num_threads == torch.get_num_threads() == 1
    assert [setting.name for setting in first.settings] == [
        "memory kept by malloc",
        "float32 matmul through oneDNN",
        "waiting threads sleep",
    ]


def test_it_reads_as_one_line() -> None:
    tuning = Tuning(2, (Setting("a", ""), Setting("b", "no such thing")))
    assert str(tuning) == "2 threads; a: yes; b: no (no such thing)"


@pytest.mark.parametrize("num_threads", [0, -1])
def test_fewer_than_one_thread_is_refused_before_anything_is_changed(num_threads: int) -> None:
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    with pytest.raises(InputError, match=rf"num_threads = {num_threads}: expected 1 or more"):
        tune(num_threads)
    assert (torch.get_num_threads(), torch.get_float32_matmul_precision()) == (threads, precision)


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("place", "name", "value", "reason"),
    [
        (runtime, "_cpu_flags", {"avx512f", "amx_bf16"}, "AMX"),
        (runtime, "_cpu_flags", set(), "no x86 CPU"),
        (torch.cuda, "is_available", True, "GPU"),
        (torch.backends.mkldnn, "is_available", False, "without oneDNN"),
    ],
)
def test_the_precision_is_left_alone_where_it_would_change(
    monkeypatch: pytest.MonkeyPatch, place: object, name: str, value: object, reason: str
) -> None:
    torch.set_float32_matmul_precision("highest")
    monkeypatch.setattr(place, name, lambda: value)
    settings = dict(tune().settings)
    assert reason in settings["float32 matmul through oneDNN"]
    assert torch.get_float32_matmul_precision() == "highest"


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("error", [AttributeError, ValueError, OSError])
def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch, error: type[Exception]) -> None:
    def unknown(name: str) -> str:
        raise error(name)

    monkeypatch.setattr("os.confstr", unknown)
    assert dict(tune().settings)["memory kept by malloc"] == "the C library is not glibc"


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(("policy", "sleeps"), [("passive", True), ("ACTIVE", False), ("", False)])
def test_it_says_whether_waiting_threads_sleep(monkeypatch: pytest.MonkeyPatch, policy: str, sleeps: bool) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", policy)
    assert (dict(tune().settings)["waiting threads sleep"] == "") is sleeps


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("before", ["highest", "high", "medium"])
def test_small_products_are_plain_in_the_block_and_as_they_were_behind_it(before: str) -> None:
    torch.set_float32_matmul_precision(before)
    with pytest.raises(ZeroDivisionError), small_products(torch.device("cpu")):
        assert torch.get_float32_matmul_precision() == "highest"
        _ = 1 / 0
    assert torch.get_float32_matmul_precision() == before
    with small_products(torch.device("cuda")):
        assert torch.get_float32_matmul_precision() == before


def test_a_precision_that_is_set_for_each_backend_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def mixed() -> str:
        raise RuntimeError("you have used mix of the legacy and new APIs")

    changes: list[str] = []
    monkeypatch.setattr(torch, "get_float32_matmul_precision", mixed)
    monkeypatch.setattr(torch, "set_float32_matmul_precision", changes.append)
    with small_products(torch.device("cpu")):
        pass
    monkeypatch.undo()
    assert not changes
