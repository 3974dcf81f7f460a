"""Doors: PyAV and Pillow are loaded by the first file and not before; without them one line names the extra."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from magvit2.errors import MissingDependencyError
from magvit2.video import VideoWriter, decode_image, probe
from magvit2.video.doors import load_av, load_pillow
from tests.video.making import scene


@pytest.fixture
def fresh_doors() -> Iterator[None]:
    """Doors that have not been opened yet."""
    load_av.cache_clear()
    load_pillow.cache_clear()
    yield
    load_av.cache_clear()
    load_pillow.cache_clear()


def test_importing_the_package_loads_neither_library() -> None:
    code = "import sys, magvit2.video; print([name for name in ('av', 'PIL', 'torch') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.usefixtures("fresh_doors")
def test_without_pyav_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    (tmp_path / "clip.mp4").write_bytes(b"anything")
    expected = r"^reading video needs PyAV: pip install 'magvit2\[video\]'$"
    with pytest.raises(MissingDependencyError, match=expected):
        probe(tmp_path / "clip.mp4")
    with pytest.raises(MissingDependencyError, match="PyAV"), VideoWriter(tmp_path / "out.mp4", fps=25) as writer:
        writer.write(scene(1)[0])


@pytest.mark.usefixtures("fresh_doors")
def test_without_pillow_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingDependencyError, match=r"^reading images needs Pillow: pip install 'magvit2\[video\]'$"):
        decode_image(b"anything", "a.png")
