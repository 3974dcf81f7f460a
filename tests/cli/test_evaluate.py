"""evaluate reconstruction: the evaluator's numbers, with their protocol beside them."""

import json
import re
from pathlib import Path

import pytest

from magvit2.data.items import find_items
from magvit2.evaluation.reconstruction import evaluate_reconstruction
from magvit2.tokenizer import Tokenizer
from magvit2.video import write_image
from tests.cli.running import done, save_clip
from tests.video.making import scene


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for group, num_frames in (("a", 3), ("b", 6)):
        (tmp_path / "data" / group).mkdir(parents=True)
        for number in range(2):
            save_clip(tmp_path / "data" / group / f"{number}.mkv", scene(num_frames + number, 16, 24))
    write_image(tmp_path / "data" / "b" / "photo.png", scene(1, 8, 8)[0])
    return tmp_path / "data"


def evaluate(source: Path, model: Path, *options: object) -> dict[str, object]:
    text = done("evaluate", "reconstruction", "--data", source, "--model", model, "--json", *options)
    report: dict[str, object] = json.loads(text)
    return report


def test_the_json_has_the_evaluator_s_numbers_and_their_protocol(source: Path, model: Path) -> None:
    report = evaluate(source, model, "--max-frames", 5)
    expected = dict(evaluate_reconstruction(Tokenizer.from_pretrained(model), find_items(source), 5))
    assert expected.pop("b/images/ssim") != report["results"].pop("b/images/ssim") is None  # nan is no JSON
    assert expected.pop("b/images/bicubic_ssim") != report["results"].pop("b/images/bicubic_ssim") is None
    assert report["results"] == expected
    assert report["model"] == str(model)
    assert "mean over frames, then over items" in report["protocol"]
    assert report["protocol"].endswith("no index, all items; clips cut to 5 frames")


def test_the_first_items_of_each_group_can_be_asked_for(source: Path, model: Path) -> None:
    results = evaluate(source, model, "--max-items", 1)["results"]
    assert results["a/clips/items"] == results["b/clips/items"] == 1
    assert "b/images/items" not in results  # the group's first item is a clip


def test_the_rows_of_one_split_of_an_index_are_used(source: Path, model: Path) -> None:
    (source / "index.csv").write_text(
        "path,kind,split\na/0.mkv,video,val\na/1.mkv,video,test\nb/photo.png,image,test\n"
    )
    assert evaluate(source, model)["results"]["a/clips/items"] == 1
    results = evaluate(source, model, "--split", "test")["results"]
    assert (results["a/clips/items"], results["b/images/items"]) == (1, 1)


def test_the_table_has_a_column_for_each_group_and_the_protocol_below(source: Path, model: Path) -> None:
    lines = done("evaluate", "reconstruction", "--data", source, "--model", model).splitlines()
    assert lines[0] == f"{model} on {source}"
    assert set(re.findall(r"\w+/\w+", lines[2])) == {"a/clips", "b/clips", "b/images", "all/clips"}
    assert any(re.search(r"│ psnr_db +│ +\d+\.\d\d │ +\d+\.\d\d │", line) for line in lines)
    assert any(re.search(r"│ ssim .*│ +- │", line) for line in lines)  # the image is too small
    assert lines[-1].startswith("protocol: 8-bit RGB at native size;")
