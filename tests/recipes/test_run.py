"""A recipe within a time limit, in a process that may import nothing but what a bare GPU image has."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from magvit2.data.items import find_items
from magvit2.data.pack import PackSettings, pack_items
from magvit2.lm import MaskedLM
from magvit2.recipes import tokenizer_recipe
from magvit2.recipes.run import main
from magvit2.tokenizer import Tokenizer
from magvit2.training.export import check_exportable
from tests.training.language_making import make_tokenizer, write_tokens
from tests.training.making import journal, make_pictures

TINY = (
    "model.base_channels=4",
    "model.channel_multipliers=[1,1,1]",
    "model.num_bits=6",
    'batches=[{"kind":"video","batch_size":1,"num_frames":5,"size":16},'
    '{"kind":"image","batch_size":2,"num_frames":1,"size":16},{"kind":"motion","batch_size":1,"num_frames":5,"size":8}]',
    "num_steps=5",
    "precision=fp32",
    "log_every=1",
    "sample_every=2",
    "checkpoint_every=100",
)

# What the image has, and what these need themselves; nothing else of what is installed here can be imported.
BARE = """
import sys

ALLOWED = sys.stdlib_module_names | {
    "magvit2", "torch", "numpy", "einops", "jaxtyping", "safetensors", "rich", "PIL", "pyarrow",
    "torchgen", "functorch", "sympy", "mpmath", "networkx", "jinja2", "markupsafe", "filelock", "fsspec",
    "typing_extensions", "wadler_lindig", "pygments", "markdown_it", "mdurl",
}

class Bare:
    def __init__(self, finder):
        self.finder = finder

    def __getattr__(self, name):
        return getattr(self.finder, name)

    def find_spec(self, name, path=None, target=None):
        package = name.partition(".")[0]
        known = package in ALLOWED or package.startswith("_sysconfigdata")
        return self.finder.find_spec(name, path, target) if known else None

sys.meta_path[:] = [Bare(finder) for finder in sys.meta_path]
for name in ("av", "tyro", "huggingface_hub", "torchmetrics", "skimage", "beartype"):
    try:
        __import__(name)
    except ModuleNotFoundError:
        continue
    raise SystemExit(f"{name} should not be importable here")

from magvit2.recipes.run import main

words, run = sys.argv[2:], sys.argv[1]
for limit in (["--time-limit", "0.001"], ["--time-limit", "0.001", "--workers", "0"], []):
    code = main([*words, "--out", run, *limit])
    if code:
        raise SystemExit(code)
raise SystemExit(main([*words, "--out", run + "-whole"]))
"""


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A packed source of two clips and an image."""
    folder = tmp_path_factory.mktemp("packed")
    pack_items(find_items(make_pictures(folder / "source")), folder / "pack", PackSettings())
    return folder / "pack"


@pytest.fixture(scope="module")
def bare(pack: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A run that its limit stopped after the first and the second step, and one that ran through; what they printed."""
    folder = tmp_path_factory.mktemp("bare")
    words = ["images", "--data", str(pack), "--workers", "1", "--export", str(folder / "out"), "--set", *TINY]
    return folder, on_a_bare_image(folder / "run", words)


def on_a_bare_image(run: Path, words: list[str]) -> list[str]:
    """Run a recipe with a limit of a step, again, to its end, and elsewhere in one go; return what was printed."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", BARE, str(run), *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_bare_image_trains_stops_by_the_limit_and_goes_on_exactly(bare: tuple[Path, list[str]]) -> None:
    folder, lines = bare
    assert [line for line in lines if line.startswith(("run ", "steps "))] == [
        "run    stopped by the time limit: the same command goes on",
        "steps  1 of 5",
        "run    stopped by the time limit: the same command goes on",
        "steps  2 of 5",
        "run    finished",
        "steps  5 of 5",
        "run    finished",
        "steps  5 of 5",
    ]
    assert journal(folder / "run") == journal(folder / "run-whole")
    models = [Tokenizer.from_pretrained(folder / name / "model") for name in ("run", "run-whole")]
    assert models[0].fingerprint == models[1].fingerprint


def test_a_language_model_trains_on_shards_there_too(tmp_path: Path) -> None:
    write_tokens(tmp_path / "tokens", make_tokenizer(tmp_path / "tokenizer"), 30)
    settings = [f"tokenizer={tmp_path / 'tokenizer'}", "num_steps=3", "log_every=1", "sample_every=99", "batch_size=2"]
    words = ["lm-tiny", "--data", str(tmp_path / "tokens"), "--export", str(tmp_path / "out"), "--set", *settings]
    lines = on_a_bare_image(tmp_path / "run", words)
    assert [line for line in lines if line.startswith("steps")] == [
        "steps  1 of 3",
        "steps  2 of 3",
        "steps  3 of 3",
        "steps  3 of 3",
    ]
    assert any("bits a token (training batches" in line for line in lines)
    assert journal(tmp_path / "run") == journal(tmp_path / "run-whole")
    assert MaskedLM.from_pretrained(tmp_path / "out" / "model").config.class_names == ("run", "walk")
    assert json.loads((tmp_path / "out" / "report.json").read_text())["metric"] == "bits"


def test_the_export_has_few_files_and_says_what_made_them(bare: tuple[Path, list[str]], pack: Path) -> None:
    out = bare[0] / "out"
    files = [path for path in out.rglob("*") if path.is_file()]
    assert len(files) == 6 and max(path.stat().st_size for path in files) < 16 * 2**20
    report = json.loads((out / "report.json").read_text())
    assert (report["recipe"], report["is_finished"], report["data"]) == ("images", True, "pack")
    assert report["shards"] == json.loads((pack / "pack.json").read_text())["shards"]
    assert report["settings"] == list(TINY)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["juggle"], "recipe 'juggle': expected one of"),
        (["images", "--set", "tempo=3"], "unknown key 'tempo'"),
        (["images", "--time-limit", "0"], "expected more than 0 seconds"),
        (["images", "--device", "abacus"], "--device abacus: cannot be used here"),
        (["images", "--workers", "-1"], "num_workers = -1: expected 0 or more"),
        (["images", "--threads", "0"], "num_threads = 0: expected 1 or more"),
        (["images", "--export", "out", "--set", "model.base_channels=64"], "files of at most 16 MiB"),
    ],
)
def test_a_failure_is_one_line(
    words: list[str], message: str, pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--data", str(pack), "--out", str(tmp_path / "run")]) == 1
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("magvit2: ") and err.count("\n") == 1 and message in err
    assert not (tmp_path / "run").exists()


def test_wrong_usage_ends_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["images", "--out", "run"])
    assert end.value.code == 2
    assert "--data" in capsys.readouterr().err


def test_an_interrupt_saves_exports_and_ends_with_130(
    pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import signal

    from magvit2.training.journal import Journal

    monkeypatch.setattr(Journal, "advance", lambda self, step: signal.raise_signal(signal.SIGTERM))
    words = ["images", "--data", str(pack), "--out", str(tmp_path / "run"), "--export", str(tmp_path / "out")]
    assert main([*words, "--workers", "0", "--set", *TINY]) == 130
    assert "after step 0; all is saved, the same command goes on" in capsys.readouterr().err
    assert json.loads((tmp_path / "out" / "report.json").read_text())["num_done"] == 1


def test_the_recipe_for_the_gpu_can_be_exported() -> None:
    recipe = tokenizer_recipe("h200")
    check_exportable(recipe.model)
    assert recipe.model.strides == (4, 8, 8) and recipe.model.num_bits == 18 and recipe.model.norm == "position"
    assert recipe.precision == "bf16"
