"""One tokenizer at several rates: `NAME@10bits` is what the lowest 10 bits of its ids decode to, and cost."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from magvit2.data.frames import to_clip, to_frames
from magvit2.data.items import find_items
from magvit2.errors import InputError, ModelNotFoundError
from magvit2.evaluation.contenders import Contender, open_contenders
from magvit2.evaluation.plots import draw_rate_quality
from magvit2.evaluation.rate_curves import compare_curves, find_curves
from magvit2.evaluation.reconstruction import Bench, measure
from magvit2.evaluation.results import results
from magvit2.evaluation.scores import open_panel
from magvit2.evaluation.sheets import draw_sheets
from magvit2.evaluation.tally import Record, Tally
from magvit2.tokenizer import Tokenizer
from magvit2.video import read_image
from tests.evaluation.making import clip_item
from tests.tiny import tiny_tokenizer
from tests.video.making import scene

FPS = Fraction(25)
OTHERS: dict[str, dict[str, object]] = {
    "vq": {"quantizer": "vq", "codebook_size": 16, "codebook_dim": 4},
    "fsq": {"quantizer": "fsq", "levels": (4, 4, 4)},
}


class Shelf:
    """Gives models by name, and counts how often each was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, name: str) -> Tokenizer:
        self.asked.append(name)
        if "tiny" not in name and name not in OTHERS:
            raise ModelNotFoundError(f"no tokenizer called {name}")
        return tiny_tokenizer(len(name), **OTHERS.get(name, {}))


def named(model: str, *compare: str) -> dict[str, Contender]:
    return {contender.name: contender for contender in open_contenders(model, compare, Shelf())}


def test_the_frames_are_those_of_the_lowest_bits_and_nothing_else_is_counted() -> None:
    tokenizer, clips = tiny_tokenizer(4), [scene(5, 17, 24), scene(1, 9, 9)]
    contender = named("tiny", "tiny@2bits")["tiny@2bits"]
    for clip, outcome in zip(clips, contender.code(clips, [FPS] * 2), strict=True):
        ids = tokenizer.encode(to_clip(clip))
        size = (clip.shape[0], clip.shape[1], clip.shape[2])
        assert outcome.ids is not None and torch.equal(outcome.ids, ids[0] & 0b11)
        assert np.array_equal(outcome.frames, to_frames(tokenizer.decode(ids, size, num_bits=2)[0]))
        assert outcome.num_bits == 2 * ids.numel()
        assert not np.array_equal(outcome.frames, to_frames(tokenizer.decode(ids, size)[0]))
    assert contender.space is not None and contender.space.vocab_size == 4
    assert "; 2 bits an id (the lowest of 6), " in contender.protocol


def test_all_its_bits_are_the_tokenizer_itself() -> None:
    clip = scene(5, 17, 24)
    found = named("tiny", "tiny@6bits")
    whole, all_bits = found["tiny"], found["tiny@6bits"]
    (one,), (two,) = whole.code([clip], [FPS]), all_bits.code([clip], [FPS])
    assert np.array_equal(one.frames, two.frames) and one.num_bits == two.num_bits


def test_a_model_is_loaded_once_and_its_rates_bear_its_name() -> None:
    shelf = Shelf()
    found = open_contenders("a/tiny", ("a/tiny@2bits", "b/tiny@4bits", "a/tiny", "b/tiny", "a/tiny@2bits"), shelf)
    assert [each.name for each in found] == ["tiny", "tiny@2bits", "tiny-2@4bits", "tiny-2", "bicubic"]
    assert shelf.asked == ["a/tiny", "b/tiny"]
    found = open_contenders("runs/tiny/model@2bits", ("runs/tiny/model", "jpeg@same"), Shelf())
    assert [each.name for each in found] == ["tiny@2bits", "tiny", "jpeg@same", "bicubic"]


def test_no_model_takes_the_name_of_what_is_no_model() -> None:
    shelf = {"runs/bicubic": tiny_tokenizer(), "tiny": tiny_tokenizer()}
    found = open_contenders("tiny", ("runs/bicubic",), shelf.__getitem__)
    assert [each.name for each in found] == ["tiny", "bicubic-2", "bicubic"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tiny@7bits", "tiny@7bits: the model's ids have 6 bits; expected 1 to 6"),
        ("tiny@0bits", "tiny@0bits: the model's ids have 6 bits; expected 1 to 6"),
        ("vq@2bits", r"vq@2bits: only ids of a binary quantizer \(lfq, bsq\) .* this model's is vq"),
        ("fsq@2bits", "this model's is fsq"),
        ("x264@6bits", r"'x264@6bits': expected a model before the @ \(no tokenizer called x264\)"),
        ("tiny@2.5bits", "baseline 'tiny@2.5bits' is not known"),
    ],
)
def test_bits_that_cannot_be_had_are_one_line(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        named("tiny", name)
    assert "\n" not in str(error.value)


def test_bits_of_one_tokenizer_are_a_curve_that_ends_in_the_tokenizer_itself() -> None:
    names = "tiny tiny@2bits other other@x x264@crf20 tiny@4bits x264@crf26 alone@3bits bicubic"
    assert find_curves(names.split()) == {
        "x264@crf": ("x264@crf20", "x264@crf26"),
        "tiny@bits": ("tiny", "tiny@2bits", "tiny@4bits"),
    }
    assert find_curves(["tiny@2bits", "tiny@4bits"]) == {"tiny@bits": ("tiny@2bits", "tiny@4bits")}


def point(name: str, rate: float, psnr_db: float) -> Record:
    return Record(0, "/x/1.mkv", "a/clips", name, 1, 1000, rate * 1000, "", {"psnr_db": psnr_db})


def test_a_tokenizer_s_curve_is_held_against_the_codec_s_and_not_against_itself() -> None:
    rates, line = (0.05, 0.1, 0.2, 0.4), (30.0, 33.0, 36.0, 39.0)  # 3 dB for twice the bits
    bits = [point("tiny@2bits", 0.1, 30.0), point("tiny@3bits", 0.2, 33.0), point("tiny@4bits", 0.4, 36.0)]
    own = [point("tiny", 0.8, 39.0), *bits]
    codec = [point(f"x264@crf{number}", rate, db) for number, (rate, db) in enumerate(zip(rates, line, strict=True))]
    panel = open_panel(("psnr",))
    assert compare_curves(Tally(own), panel, [record.contender for record in own]) == []
    found = compare_curves(Tally([*own, *codec]), panel, [record.contender for record in [*own, *codec]])
    assert [(each.name, each.anchor) for each in found] == [("tiny", "x264@crf"), ("tiny@bits", "x264@crf")]
    assert found[1].bd_rate_percent == pytest.approx(100)


def bench_of(*compare: str) -> Bench:
    return Bench(open_contenders("tiny", compare, Shelf()), open_panel(("psnr",)), max_frames=5)


def test_an_evaluation_has_a_point_and_a_picture_for_each_rate(tmp_path: Path) -> None:
    clip_item(tmp_path / "data", "g/0", scene(5, 16, 24))
    items, widths = find_items(tmp_path / "data"), []
    for compare in ((), ("tiny@2bits", "tiny@4bits")):
        bench, tally = bench_of(*compare), Tally()
        list(measure(bench, list(enumerate(items)), tally))
        (sheet,) = draw_sheets(tmp_path, bench, items, tally)
        widths.append(read_image(sheet).shape[1])
    found = dict(results(tally, bench.panel, [contender.name for contender in bench.contenders]))
    whole = found["g/clips/tiny/bits_per_pixel"]
    assert found["g/clips/tiny@2bits/bits_per_pixel"] == pytest.approx(whole / 3)
    assert found["g/clips/tiny@4bits/bits_per_pixel"] == pytest.approx(whole * 2 / 3)
    assert found["g/clips/tiny@2bits/id_entropy_bits"] <= 2
    assert found["g/clips/tiny@2bits/adaptive_bits_per_pixel"] < found["g/clips/tiny/adaptive_bits_per_pixel"]
    assert widths[1] > 1.5 * widths[0]  # two pictures more beside original, tokenizer and floor


def test_the_points_of_one_tokenizer_share_a_colour_and_are_joined(tmp_path: Path) -> None:
    names = ["tiny", "tiny@2bits", "tiny@4bits", "other"]
    rates = {f"all/clips/{name}/psnr_db": 0.1 * 2**number for number, name in enumerate(names)}
    draw_rate_quality(tmp_path / "plot.png", "a title", dict.fromkeys(rates, 20.0), rates, ["all/clips"], names)
    picture = read_image(tmp_path / "plot.png")
    is_red = (picture[..., 0] > 200) & (picture[..., 1:] < 130).all(axis=-1)
    pixels = {tuple(pixel) for pixel in picture.reshape(-1, 3).tolist()}
    assert is_red.sum(axis=1).max() > picture.shape[1] / 3  # of equal quality: a line from the first to the last
    assert (31, 119, 180) in pixels and (44, 160, 44) not in pixels  # `other` has the second colour
