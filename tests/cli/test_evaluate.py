"""evaluate reconstruction: the evaluator's numbers, with their protocol beside them, and a folder with the report."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from magvit2.data.items import find_items
from magvit2.evaluation.reconstruction import evaluate_reconstruction
from magvit2.tokenizer import Tokenizer
from magvit2.video import read_image, write_image
from tests.cli.running import done, run, save_clip, tree
from tests.tiny import save_tiny
from tests.video.making import scene

LIGHT = ("--metrics", "ssim", "ms_ssim")


@pytest.fixture(autouse=True)
def _no_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MAGVIT2_DATA", raising=False)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for group, num_frames in (("a", 3), ("b", 6)):
        (tmp_path / "data" / group).mkdir(parents=True)
        for number in range(2):
            save_clip(tmp_path / "data" / group / f"{number}.mkv", scene(num_frames + number, 16, 24))
    write_image(tmp_path / "data" / "b" / "photo.png", scene(1, 8, 8)[0])
    return tmp_path / "data"


def evaluate(source: Path, model: Path, *options: object) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(done("evaluate", "reconstruction", model, source, "--json", *LIGHT, *options))
    return report


def refused(source: Path, model: Path, *options: object) -> str:
    return run("evaluate", "reconstruction", model, source, *options).line


def test_the_json_has_the_evaluator_s_numbers_and_their_protocol(source: Path, model: Path) -> None:
    report = evaluate(source, model, "--max-frames", 5)
    expected = dict(evaluate_reconstruction(Tokenizer.from_pretrained(model), find_items(source), 5))
    expected = {name.replace("/model/", "/tiny/"): None if v != v else v for name, v in expected.items()}  # noqa: PLR0124
    assert report["results"] == expected
    assert report["title"] == f"{model} on {source}"
    assert "first 5 frames" in report["protocol"]["frames"]
    assert report["protocol"]["files"].startswith("no index, all items, 5 items; SHA-256")
    assert set(report["not_measured"]) == {"ms_ssim"}  # the clips are too small
    assert report["not_measured"]["ms_ssim"].startswith("no item is fit (ms-ssim: 5 scales")
    assert report["intervals"]["all/clips/tiny/psnr_db"]["mean"] == pytest.approx(expected["all/clips/tiny/psnr_db"])
    assert report["made_by"]["threads"] >= 1


def test_the_first_items_of_each_group_can_be_asked_for(source: Path, model: Path) -> None:
    results = evaluate(source, model, "--limit", 1)["results"]
    assert results["a/clips/tiny/items"] == results["b/clips/tiny/items"] == 1
    assert "b/images/tiny/items" not in results  # the group's first item is a clip


def test_the_rows_of_one_split_of_an_index_are_used(source: Path, model: Path) -> None:
    (source / "index.csv").write_text(
        "path,kind,split\na/0.mkv,video,val\na/1.mkv,video,test\nb/photo.png,image,test\n"
    )
    report = evaluate(source, model)
    assert report["results"]["a/clips/tiny/items"] == report["num_items"] == 1
    assert report["protocol"]["files"].startswith("split val, 1 items")
    results = evaluate(source, model, "--split", "test")["results"]
    assert (results["a/clips/tiny/items"], results["b/images/tiny/items"]) == (1, 1)


def test_tables_have_a_column_for_each_contender_and_what_is_missing_below(source: Path, model: Path) -> None:
    lines = done("evaluate", "reconstruction", model, source, "--compare", "identity", "--metrics", "psq").splitlines()
    titles = [line for line in lines if line.startswith(f"{model} on {source}: ")]
    cells = [title.rpartition(": ")[2] for title in titles]
    assert cells == ["a/clips", "b/clips", "b/images", "all/clips"]
    assert re.findall(r"[\w@]+", lines[2]) == ["tiny", "identity", "bicubic"]
    assert any(re.search(r"│ psnr_db +│ +\d+\.\d\d │ +100.00 │ +\d+\.\d\d │", line) for line in lines)
    assert lines[-2].startswith("psq: not measured: needs squeezenet1_1_onnxzoo.npz in ")
    assert lines[-1].startswith("protocol: no index, all items, 5 items;")


def test_other_models_and_codecs_are_measured_beside_it(source: Path, model: Path, tmp_path: Path) -> None:
    other = save_tiny(tmp_path / "other", seed=1)
    report = evaluate(source, model, "--compare", other, "x264@same", "--limit", 1, "--max-frames", 2, "--size", 16)
    assert list(report["contenders"]) == ["tiny", "other", "x264@same", "bicubic"]
    assert "centre crop 16 x 16" in report["protocol"]["frames"]
    assert report["results"]["a/clips/x264@same/bits_per_pixel"] > 0
    assert "all/clips/tiny - other/psnr_db" in report["differences"]


def test_one_model_at_several_rates_is_a_curve_of_the_report(source: Path, model: Path, tmp_path: Path) -> None:
    compare = (f"{model}@2bits", f"{model}@4bits", model)
    report = evaluate(source, model, "--limit", 1, "--compare", *compare, "--out", tmp_path / "out")
    assert list(report["contenders"]) == ["tiny", "tiny@2bits", "tiny@4bits", "bicubic"]
    assert report["rate_curves"] == {"tiny@bits": ["tiny", "tiny@2bits", "tiny@4bits"]}
    rates = [report["results"][f"a/clips/{name}/bits_per_pixel"] for name in report["rate_curves"]["tiny@bits"]]
    assert rates == pytest.approx([rates[0], rates[0] / 3, rates[0] * 2 / 3])
    assert report["cost"]["tiny@2bits"]["parameters"] == report["cost"]["tiny"]["parameters"]
    assert "| tiny@2bits |" in (tmp_path / "out" / "report.md").read_text()
    line = refused(source, model, "--compare", f"{model}@7bits")
    assert line == "tiny@7bits: the model's ids have 6 bits; expected 1 to 6"


def test_a_report_has_numbers_items_a_page_and_pictures(source: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    printed = evaluate(source, model, "--out", out)
    assert json.loads((out / "report.json").read_text()) == printed
    names = {"report.json", "items.jsonl", "report.md", "rate-quality.png", "clips.png", "images.png"}
    assert {path.name for path in out.iterdir()} == names | {"state"}
    records = [json.loads(line) for line in (out / "items.jsonl").read_text().splitlines()]
    assert [(r["item"], r["contender"]) for r in records[:3]] == [
        ("a/0.mkv", "tiny"), ("a/0.mkv", "bicubic"), ("a/1.mkv", "tiny"),
    ]  # fmt: skip
    page = (out / "report.md").read_text()
    assert page.startswith(f"# {model} on {source}\n")
    assert "## all/clips (4 items)" in page and "| bicubic | " in page and "`psnr`: " in page
    for name in ("rate-quality", "clips", "images"):
        assert min(read_image(out / f"{name}.png").shape[:2]) > 200


def test_a_run_is_resumed_with_the_same_words_and_shares_its_items(source: Path, model: Path, tmp_path: Path) -> None:
    results = evaluate(source, model)["results"]
    out = tmp_path / "out"
    assert evaluate(source, model, "--out", out, "--workers", 2, "--batch-size", 3)["results"] == pytest.approx(results)
    (out / "report.json").unlink()
    (out / "state" / "part-1.safetensors").unlink()
    assert evaluate(source, model, "--out", out, "--resume")["results"] == pytest.approx(results)
    assert (out / "report.json").exists()


def test_an_output_folder_that_cannot_be_used_is_left_alone(source: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").touch()
    assert refused(source, model, "--out", out) == (
        f"{out}: is not empty; give --resume to go on with it, or another folder"
    )
    assert refused(source, model, "--out", out, "--resume").startswith(f"{out}: holds no evaluation to resume")
    assert refused(source, model, "--resume").startswith("--resume: expected --out")
    assert tree(out) == ["notes.txt"]
    evaluate(source, model, "--out", tmp_path / "new", "--limit", 1)
    line = refused(source, model, "--out", tmp_path / "new", "--limit", 1, *LIGHT, "--resume", "--max-frames", 2)
    assert "frames was '8-bit RGB, first 17 frames" in line and "resume with the same" in line


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--metrics", "lpips"), "metric 'lpips' is not known; expected some of psnr, ssim, ms_ssim, psq, lpips-alex"),
        (("--compare", "h264"), "baseline 'h264' is not known; expected one of x264, x265, svtav1"),
        (("--compare", "x264@fast"), "baseline 'x264@fast' is not known; expected one of x264"),
        (("--nets", "missing"), "--nets missing: not a folder"),
        (("--device", "bogus"), "--device bogus: there is no such device"),
        (("--workers", 0), "--workers 0: expected 1 or more"),
        (("--batch-size", 0), "--batch-size 0: expected 1 or more"),
        (("--size", 0), "--size 0: expected 1 or more"),
        (("--fit", "640"), "--fit 640: expected a width and a height of 2 pixels or more, as in 640x360"),
    ],
)
def test_a_wrong_word_is_one_line(source: Path, model: Path, options: tuple[object, ...], why: str) -> None:
    assert refused(source, model, *options).startswith(why)


def test_networks_are_looked_for_where_the_data_are(
    source: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nets = tmp_path / "nets"
    nets.mkdir()
    monkeypatch.setenv("MAGVIT2_DATA", str(tmp_path))
    report = evaluate(source, model, "--limit", 1, "--metrics", "psq")
    assert report["not_measured"] == {"psq": f"needs squeezenet1_1_onnxzoo.npz in {nets}"}
    (nets / "squeezenet1_1_onnxzoo.npz").write_bytes(b"no network")
    line = refused(source, model, "--metrics", "psq")
    assert line.startswith(f"{nets / 'squeezenet1_1_onnxzoo.npz'}: SHA-256 is ")


def test_groups_are_chosen_by_name(source: Path, model: Path) -> None:
    (group, *others) = sorted(path.name for path in source.iterdir() if path.is_dir())
    assert others
    results = evaluate(source, model, "--groups", group, "--limit", 1, *LIGHT)["results"]
    assert {name.split("/")[0] for name in results} == {group}
    line = refused(source, model, "--groups", group, "nothing")
    assert line == f"group 'nothing': expected some of {group!r}, {', '.join(map(repr, others))}"
