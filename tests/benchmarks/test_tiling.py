"""The benchmark of tiles at a tiny setting: what it reports, and that exact tiles cost no quality."""

import json
import subprocess
import sys

import pytest

from magvit2.benchmarks.measure import Setup
from magvit2.benchmarks.tiling import measure_cost, measure_difference
from tests.cli.running import done, run
from tests.tiny import save_tiny

QUICK = Setup(threads=1, repeats=1)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a tiny tokenizer."""
    return str(save_tiny(tmp_path_factory.mktemp("model") / "tiny"))


def test_tiling_reports_differences_and_ratios_over_whole_frames(model: str) -> None:
    words = ("--tiles", 16, "--side", 40, "--dtype", "fp32", "--threads", 1, "--repeats", 1, "--json")
    found = json.loads(done("benchmark", "tiling", model, *words))
    assert list(found) == ["benchmark", "machine", "difference", "cost", "notes"]
    (difference,) = found["difference"]
    assert (difference["model"], difference["dtype"], difference["clip"]) == (model, "fp32", "1x40x40")
    assert (difference["tile"], difference["ids_different"]) == (16, 0)
    whole, tiled = found["cost"]
    assert (whole["tile"], tiled["tile"]) == (None, 16)
    assert (whole["x_encode_time"], whole["x_decode_time"], whole["x_peak"]) == (1, 1, 1)
    assert tiled["x_decode_time"] == tiled["decode_s"] / whole["decode_s"]
    assert tiled["x_peak"] == tiled["peak_mb"] / whole["peak_mb"]


def test_what_is_equal_has_no_psnr_and_what_has_no_seams_no_difference_near_them(model: str) -> None:
    row = measure_difference(QUICK, model, "fp32", 1, 32, 40)
    assert row["ids_different"] == row["elsewhere"] == 0
    assert row["psnr_db"] is row["decoder_psnr_db"] is row["near_seams"] is None


def test_presets_can_be_measured_in_tiles() -> None:
    assert measure_cost(QUICK, "tiny", "fp32", 1, 16, 8)["tile"] == 8


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--tiles", "0"), "--tiles 0: expected 1 or more"),
        (("--side", "0"), "--side 0: expected 1 or more"),
        (("--tiles", "12", "--side", "16"), "tile = 12: expected a multiple of 8 pixels"),
    ],
)
def test_wrong_values_are_one_line(words: tuple[str, ...], message: str, model: str) -> None:
    assert message in run("benchmark", "tiling", model, *words).line


def test_the_module_runs_without_the_command_line_s_packages() -> None:
    script = (
        "import sys; sys.modules |= dict.fromkeys(['av', 'tyro', 'rich', 'torchvision', 'PIL', 'huggingface_hub'])\n"
        "sys.argv[1:] = ['--help']; import runpy; runpy.run_module('magvit2.benchmarks.tiling', run_name='__main__')"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "magvit2 benchmark tiling" in ended.stdout
