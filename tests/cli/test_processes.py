"""The command line as a process of its own: what other programs see of it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.running import save_clip, tree
from tests.video.making import scene

RUN = [sys.executable, "-c", "from magvit2.cli import main; main()"]

# Sends itself a signal at the sixth frame. (A test runner may have been told to ignore it.)
INTERRUPTED = """
import signal
from magvit2 import pipelines
from magvit2.cli import main

signal.signal(signal.SIGINT, signal.default_int_handler)
frames, convert = [], pipelines.frame_to_float

def counted(frame):
    frames.append(0)
    if len(frames) == 6:
        signal.raise_signal(signal.%s)
    return convert(frame)

pipelines.frame_to_float = counted
main()
"""


def start(command: list[object], **options: object) -> "subprocess.Popen[str]":
    words = [str(word) for word in command]
    # As in a shell: what is printed waits in a buffer.
    options["env"] = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return subprocess.Popen(  # type: ignore[call-overload, no-any-return]
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


def ended(command: list[object], **options: object) -> tuple[int, str, str]:
    process = start(command, **options)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def test_encode_and_info_in_a_shell_of_one_s_own(tmp_path: Path, model: Path) -> None:
    save_clip(tmp_path / "clip.mp4", scene(5, 16, 24))
    code, out, err = ended([*RUN, "encode", "clip.mp4", "clip.safetensors", "--model", model, "--json"], cwd=tmp_path)
    assert (code, err) == (0, "")
    assert json.loads(out)["tokens"] == [2, 2, 3]
    assert tree(tmp_path) == ["clip.mp4", "clip.safetensors"]


def test_a_failure_is_one_line_and_code_1(tmp_path: Path) -> None:
    code, out, err = ended([*RUN, "info", "missing.mp4"], cwd=tmp_path)
    assert (code, out) == (1, "")
    assert err == "magvit2: missing.mp4: no such file or folder; check the name\n"


@pytest.mark.parametrize("verb", ["reconstruct", "demo"])
@pytest.mark.parametrize(
    ("name", "code", "message"), [("SIGINT", 130, "magvit2: interrupted\n"), ("SIGTERM", 143, "magvit2: terminated\n")]
)
def test_ctrl_c_or_a_polite_kill_leaves_nothing(
    tmp_path: Path, model: Path, verb: str, name: str, code: int, message: str
) -> None:
    clip = save_clip(tmp_path / "clip.mp4", scene(9, 16, 24))
    out = [tmp_path / "out.mp4"] if verb == "reconstruct" else ["--out", tmp_path / "demo-out"]
    command = [sys.executable, "-c", INTERRUPTED % name, verb, clip, *out, "--model", model]
    assert ended(command) == (code, "", message)
    assert tree(tmp_path) == ["clip.mp4"]


@pytest.mark.parametrize("words", [["--help"], ["encode", "--help"]])
def test_a_reader_that_goes_away_is_no_failure_to_talk_about(words: list[str]) -> None:
    """As in `magvit2 --help | head -0`."""
    process = start([*RUN, *words])
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(timeout=120) not in (0, -signal.SIGPIPE)
    process.stderr.close()


def test_a_reader_that_goes_away_before_the_results(tmp_path: Path, model: Path) -> None:
    clip = save_clip(tmp_path / "clip.mp4", scene(1, 16, 24))
    process = start([*RUN, "encode", clip, tmp_path / "clip.safetensors", "--model", model])
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == ""
    process.wait(timeout=120)
    process.stderr.close()
    assert tree(tmp_path) == ["clip.mp4", "clip.safetensors"]
