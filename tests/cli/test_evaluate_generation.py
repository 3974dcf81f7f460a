"""evaluate generation: distances of samples from a reference, with their protocol beside them, and a report."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from magvit2.video import read_image, write_image
from tests.cli.running import done, run, tree
from tests.evaluation.generating import moving, noisy, save_clips, save_networks

METRICS = ("--metrics", "fvd-styleganv", "is")
NUM_SAMPLES, NUM_REAL = 12, 9


@pytest.fixture(autouse=True)
def _no_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MAGVIT2_DATA", raising=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Samples in `made`, a reference in `real`, stubs of the networks in `nets`."""
    folder = tmp_path_factory.mktemp("generation")
    save_clips(folder / "made", [noisy(moving(n), 8, n) for n in range(NUM_SAMPLES)])
    save_clips(folder / "real", [moving(100 + n) for n in range(NUM_REAL)])
    save_networks(folder / "nets")
    return folder


def evaluate(folder: Path, *options: object, samples: str = "made", reference: str = "real") -> dict[str, Any]:
    words = ("evaluate", "generation", folder / samples, folder / reference, "--nets", folder / "nets", *METRICS)
    report: dict[str, Any] = json.loads(done(*words, "--json", *options))
    return report


def refused(samples: Path, reference: Path, *options: object) -> str:
    return run("evaluate", "generation", samples, reference, *options).line


def test_the_json_has_the_numbers_and_their_protocol(folder: Path) -> None:
    report = evaluate(folder)
    assert list(report["results"]) == [
        "clips/fvd-styleganv", "clips/fvd-styleganv_fold_mean", "clips/fvd-styleganv_fold_std",
        "clips/is", "clips/is_split_mean", "clips/is_split_std",
    ]  # fmt: skip
    assert all(value >= 0 for value in report["results"].values())
    assert len(report["parts"]["clips/fvd-styleganv"]) == 4
    assert report["samples"]["clips/fvd-styleganv"] == {"samples": NUM_SAMPLES, "reference": NUM_REAL}
    assert report["title"] == f"{folder / 'made'} against {folder / 'real'}"
    protocol = report["protocol"]
    for name, count in (("samples", NUM_SAMPLES), ("reference", NUM_REAL)):
        held = f"no index, all items: {count} clips, {count} windows; of 16 x 16; SHA-256 of names and sizes "
        assert re.fullmatch(rf"{held}\w{{64}}", protocol[name])
    assert protocol["frames"].startswith("8-bit RGB, 16 frames at stride 1, first 1 window(s) of a clip, shorter")
    assert protocol["folds"].startswith("4 of the sample clips, clip i in fold i mod 4, each against the whole")
    assert (protocol["seed"], protocol["arithmetic"]) == ("none; nothing is drawn", "fp32 on cpu")
    assert "sha256:" in protocol["fvd-styleganv"] and "sha256:" in protocol["is"]
    assert set(report["made_by"]) == {"machine", "threads", "software", "commit", "date"}
    assert report["not_measured"] == {} and report["notes"] == []


def test_a_folder_is_at_no_distance_from_itself(folder: Path) -> None:
    results = evaluate(folder, "--folds", 1, samples="real")["results"]
    assert results["clips/fvd-styleganv"] == pytest.approx(0, abs=1e-6)
    assert "clips/fvd-styleganv_fold_mean" not in results


def test_options_say_how_much_of_what_is_seen(folder: Path) -> None:
    report = evaluate(folder, "--limit", 6, "--folds", 3, "--size", 12)
    assert report["samples"]["clips/fvd-styleganv"] == {"samples": 6, "reference": 6}
    assert len(report["parts"]["clips/fvd-styleganv"]) == 3
    assert "short side to 12 (bilinear, antialiased), centre crop 12 x 12" in report["protocol"]["frames"]
    assert "of 16 x 16" in report["protocol"]["samples"]
    assert "all windows of a clip" in evaluate(folder, "--windows", "all")["protocol"]["frames"]


def test_rows_of_one_split_of_an_index_and_ucf_101_s_lists_are_the_reference(folder: Path, tmp_path: Path) -> None:
    real = tmp_path / "UCF-101"
    save_clips(real / "Class", [moving(n) for n in range(5)])
    names = [f"Class/{number:03d}.mkv" for number in range(5)]
    (tmp_path / "trainlist01.txt").write_text("\n".join(names[:3]))
    (tmp_path / "testlist01.txt").write_text("\n".join(names[3:]))
    made = save_clips(tmp_path / "made", [moving(n) for n in range(6)])  # beside the lists, and not in them
    words = ("evaluate", "generation", made, real, "--nets", folder / "nets", *METRICS, "--json", "--split", "train")
    report = json.loads(done(*words))
    assert report["samples"]["clips/fvd-styleganv"] == {"samples": 6, "reference": 3}
    assert report["protocol"]["reference"].startswith("UCF-101 trainlist01.txt: 3 clips")
    (real / "index.csv").write_text("path,kind,split\n" + "".join(f"{name},video,train\n" for name in names[1:]))
    assert json.loads(done(*words))["samples"]["clips/fvd-styleganv"]["reference"] == 4


def test_tables_have_a_row_for_each_metric_and_what_is_missing_below(folder: Path) -> None:
    words = ("evaluate", "generation", folder / "made", folder / "real", "--nets", folder / "nets", "--limit", 6)
    lines = done(*words, "--metrics", "is", "fvd-styleganv", "fd-mbv2").splitlines()
    assert lines[0] == f"{folder / 'made'} against {folder / 'real'}: clips"
    assert re.findall(r"[a-z][a-z ]*[a-z]", lines[2]) == [
        "all samples", "mean of parts", "std of parts", "samples", "reference",
    ]  # fmt: skip
    assert any(re.search(r"│ fvd-styleganv │ +[\d,.]+ │ +- │ +- │ +6 │ +6 │", line) for line in lines)
    assert f"fd-mbv2: not measured: needs mobilenetv2_features_onnxzoo.npz in {folder / 'nets'}" in lines
    assert any(line.startswith("clips/fvd-styleganv_fold_mean: not measured: 4 folds hold 1 to 2") for line in lines)
    assert lines[-1].startswith("protocol: samples: no index, all items: 6 clips, 6 windows; of 16 x 16; SHA-256")


def test_a_report_has_numbers_a_page_and_pictures(folder: Path, tmp_path: Path) -> None:
    for name in ("made", "real"):
        save_clips(tmp_path / name, [moving(n, 16 if n else 9) for n in range(9)])
        for number in range(4):
            write_image(tmp_path / name / f"{number}.png", moving(number)[0])
    out = tmp_path / "out"
    words = ("evaluate", "generation", tmp_path / "made", tmp_path / "real", "--nets", folder / "nets", *METRICS)
    printed = json.loads(done(*words, "--json", "--out", out))
    assert json.loads((out / "report.json").read_text()) == printed
    assert {path.name for path in out.iterdir()} == {"report.json", "report.md", "clips.png", "images.png", "state"}
    assert printed["counts"]["clips"]["samples"] == {"items": 8, "left_out": 1, "windows": 8, "frames": 128}
    assert printed["counts"]["images"]["reference"] == {"items": 4, "left_out": 0, "windows": 4, "frames": 4}
    assert printed["notes"][0] == f"{tmp_path / 'made'}: 1 of 9 clips are left out, as too short for 16 frames"
    page = (out / "report.md").read_text()
    assert page.startswith(f"# {tmp_path / 'made'} against {tmp_path / 'real'}\n")
    assert "## clips (8 clips, 8 windows, 1 left out as too short against 8 clips" in page
    assert "| fvd-styleganv | 0.0000 | " in page and "`is`: is: inception-2015-12-05.pt sha256:" in page
    for name in ("clips", "images"):
        assert min(read_image(out / f"{name}.png").shape[:2]) > 200


def test_a_run_is_resumed_with_the_same_words_and_shares_its_items(folder: Path, tmp_path: Path) -> None:
    results, out = evaluate(folder)["results"], tmp_path / "out"
    assert evaluate(folder, "--out", out, "--workers", 2, "--batch-size", 8)["results"] == pytest.approx(results)
    (out / "report.json").unlink()
    (out / "state" / "part-1.safetensors").unlink()
    assert evaluate(folder, "--out", out, "--resume")["results"] == pytest.approx(results)
    assert (out / "report.json").exists()
    words = (folder / "made", folder / "real", "--nets", folder / "nets", *METRICS, "--out", out)
    assert refused(*words) == f"{out}: is not empty; give --resume to go on with it, or another folder"
    assert "frames was '8-bit RGB, 16 frames at stride 1" in refused(*words, "--resume", "--size", 8)
    assert "samples was" in refused(*words, "--resume", "--limit", 4)


def test_sides_that_cannot_be_compared_are_refused_before_anything_is_written(folder: Path, tmp_path: Path) -> None:
    real, out = folder / "real", tmp_path / "out"
    (tmp_path / "empty").mkdir()
    one = save_clips(tmp_path / "one", [moving(0)])
    short = save_clips(tmp_path / "short", [moving(n, 15) for n in range(3)])
    small = save_clips(tmp_path / "small", [moving(n, side=8) for n in range(3)])
    images = tmp_path / "images"
    for number in range(3):
        write_image(images / f"{number}.png", moving(number)[0])
    too_few = "a Fréchet distance expects 2 or more on each side"
    expected = {
        tmp_path / "gone": f"{tmp_path / 'gone'}: not a folder",
        tmp_path / "empty": f"{tmp_path / 'empty'}: expected videos or images below it, found none",
        one: f"{one}: holds 1 clip; {too_few}",
        short: f"{short}: holds 3 clips, 0 of them of 16 frames or more; {too_few}",
        small: f"frames of clips are 8 x 8 in {small} and 16 x 16 in {real}; give --size N to bring all to one size",
        images: f"{images} holds 3 images, {real} holds 9 clips; expected clips on both sides, or images on both",
    }
    for samples, why in expected.items():
        assert refused(samples, real, "--out", out).startswith(why)
    assert refused(real, tmp_path / "empty", "--out", out).startswith(expected[tmp_path / "empty"])
    assert not out.exists()
    assert tree(small) == ["000.mkv", "001.mkv", "002.mkv"]


def test_a_damaged_clip_or_network_is_one_line(folder: Path, tmp_path: Path) -> None:
    made = save_clips(tmp_path / "made", [moving(n) for n in range(2)])
    (made / "002.mkv").write_bytes(b"no video")
    assert refused(made, folder / "real", *METRICS).startswith(f"{made / '002.mkv'}: ")
    nets = tmp_path / "nets"
    nets.mkdir()
    (nets / "mobilenetv2_features_onnxzoo.npz").write_bytes(b"no network")
    line = refused(folder / "made", folder / "real", "--nets", nets)
    assert line.startswith(f"{nets / 'mobilenetv2_features_onnxzoo.npz'}: SHA-256 is ")


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--metrics", "psnr"), "metric 'psnr' is not known; expected some of fd-mbv2-t, fvd-styleganv"),
        (("--nets", "missing"), "--nets missing: not a folder"),
        (("--device", "bogus"), "--device bogus: there is no such device"),
        (("--workers", 0), "--workers 0: expected 1 or more"),
        (("--batch-size", 0), "--batch-size 0: expected 1 or more"),
        (("--stride", 0), "--stride 0: expected 1 or more"),
        (("--windows", 0), "--windows 0: expected 1 or more"),
        (("--folds", 0), "--folds 0: expected 1 or more"),
        (("--size", 0), "--size 0: expected 1 or more"),
        (("--limit", 0), "--limit 0: expected 1 or more"),
        (("--resume",), "--resume: expected --out"),
        (("--stride", 2), "{made}: holds 12 clips, 0 of them of 31 frames or more"),
    ],
)
def test_a_wrong_word_is_one_line(folder: Path, options: tuple[object, ...], why: str) -> None:
    line = refused(folder / "made", folder / "real", *options)
    assert line.startswith(why.format(made=folder / "made"))
