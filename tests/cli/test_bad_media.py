"""Bad media: whatever the verb, the failure is one line that names the file, and nothing is left behind."""

import os
from collections.abc import Callable
from pathlib import Path

import av
import pytest

from magvit2.video import write_image
from tests.cli.running import run, tree
from tests.video.making import encode, scene
from tests.video.test_damage import cut, noisy


def missing(folder: Path) -> Path:
    return folder / "missing.mp4"


def empty(folder: Path) -> Path:
    (folder / "empty.mp4").touch()
    return folder / "empty.mp4"


def text(folder: Path) -> Path:
    (folder / "text.mp4").write_text("This is no video at all.\n" * 50)
    return folder / "text.mp4"


def text_as_image(folder: Path) -> Path:
    (folder / "text.png").write_text("no image")
    return folder / "text.png"


def without_index(folder: Path) -> Path:
    return cut(encode(folder / "clip.mp4", noisy(10)), 0.6)


def cut_short(folder: Path) -> Path:
    return cut(encode(folder / "clip.mp4", noisy(20), faststart=True), 0.7)


def without_frames(folder: Path) -> Path:
    with av.open(str(folder / "none.mkv"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.start_encoding()
    return folder / "none.mkv"


def folder_of_nothing(folder: Path) -> Path:
    (folder / "nothing").mkdir()
    return folder / "nothing"


def frames_of_two_sizes(folder: Path) -> Path:
    write_image(folder / "frames" / "0.png", scene(1, 16, 16)[0])
    write_image(folder / "frames" / "1.png", scene(1, 16, 24)[0])
    return folder / "frames"


BAD_FROM_THE_START = {
    missing: "no such file or folder; check the name",
    empty: "the file is empty (0 bytes)",
    text: "not a video that can be read; expected MP4",
    text_as_image: "not an image that can be read; expected PNG",
    without_index: "an MP4 without its index (moov)",
    without_frames: "with at least one frame",
    folder_of_nothing: "no images in this folder",
}
BAD_ON_THE_WAY = {
    cut_short: "cut short: only ",
    frames_of_two_sizes: "is 24x16, but 0.png is 16x16; expected frames of one size",
}
Builder = Callable[[Path], Path]


def command(verb: str, source: Path, model: Path) -> list[object]:
    """The words of a verb that reads `source` and writes beside it."""
    out = {
        "encode": [source.parent / "out.safetensors"],
        "reconstruct": [source.parent / "out.mp4"],
        "demo": ["--out", source.parent / "demo-out"],
        "info": [],
    }
    return [verb, source, *out[verb], *([] if verb == "info" else ["--model", model])]


@pytest.mark.parametrize("verb", ["encode", "reconstruct", "demo", "info"])
@pytest.mark.parametrize(("build", "why"), BAD_FROM_THE_START.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_a_bad_medium_is_refused(tmp_path: Path, model: Path, build: Builder, why: str, verb: str) -> None:
    source = build(tmp_path)
    before = tree(tmp_path)
    line = run(*command(verb, source, model)).line
    assert line.startswith(str(source))
    assert why in line
    assert tree(tmp_path) == before


@pytest.mark.parametrize("verb", ["encode", "reconstruct", "demo"])
@pytest.mark.parametrize(("build", "why"), BAD_ON_THE_WAY.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_a_medium_that_turns_bad_on_the_way_leaves_nothing(
    tmp_path: Path, model: Path, build: Builder, why: str, verb: str
) -> None:
    source = build(tmp_path)
    before = tree(tmp_path)
    line = run(*command(verb, source, model)).line
    assert line.startswith(str(source))
    assert why in line
    assert tree(tmp_path) == before


@pytest.mark.parametrize("verb", ["encode", "reconstruct", "demo", "info"])
def test_a_medium_that_may_not_be_read(tmp_path: Path, model: Path, verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source = encode(tmp_path / "secret.mp4", scene(2))
    monkeypatch.setattr(os, "access", lambda path, mode: not (mode == os.R_OK and Path(path) == source))
    line = run(*command(verb, source, model)).line
    assert line == f"{source}: permission denied; make it readable for this user"
    assert tree(tmp_path) == ["secret.mp4"]


def test_an_older_demo_is_not_touched_by_one_that_fails(tmp_path: Path, model: Path) -> None:
    (tmp_path / "demo-out").mkdir()
    (tmp_path / "demo-out" / "report.json").write_text("older")
    assert "cut short" in run(*command("demo", cut_short(tmp_path), model)).line
    assert tree(tmp_path / "demo-out") == ["report.json"]
    assert (tmp_path / "demo-out" / "report.json").read_text() == "older"
