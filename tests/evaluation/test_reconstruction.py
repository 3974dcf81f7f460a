"""The numbers of `evaluate reconstruction`, worked out by hand on clips and contenders that are known."""

import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from magvit2.data.frames import centre_square, shrink_to_fit
from magvit2.data.items import MediaItem, find_items
from magvit2.errors import InputError
from magvit2.evaluation.contenders import Contender, FloorContender, Outcome, TokenizerContender
from magvit2.evaluation.floor import bicubic_floor
from magvit2.evaluation.reconstruction import Bench, evaluate_reconstruction, measure
from magvit2.evaluation.results import differences, intervals, num_samples, results
from magvit2.evaluation.scores import open_panel
from magvit2.evaluation.tally import Tally
from magvit2.metrics import psnr, ssim
from magvit2.pipelines import encode_frames, reconstruct_frames
from magvit2.tokenizer import Tokenizer
from magvit2.video import write_image
from tests.evaluation.making import SPACE, Brighter, clip_item, flat, panel_with_sets
from tests.tiny import tiny_tokenizer
from tests.video.making import scene

PLAIN = open_panel(("psnr", "ssim", "ms_ssim"))
ALL = {"items", "psnr_db", "psnr_pooled_db", "ssim", "ms_ssim", "ms_ssim_3", "bits_per_pixel"}
OF_IDS = {
    "psnr_gain_db",
    "tokens",
    "distinct_ids",
    "code_usage",
    "id_entropy_bits",
    "bit_entropy_mean",
    "bit_entropy_least",
    "zero_order_bits_per_pixel",
    "adaptive_bits_per_pixel",
    "id_perplexity",
}


def bench(*contenders: Contender, max_frames: int = 17, batch_size: int = 1) -> Bench:
    return Bench((*contenders, FloorContender(SPACE)), PLAIN, max_frames, batch_size=batch_size)


def tallied(made: Bench, items: Sequence[MediaItem]) -> Tally:
    tally = Tally()
    assert list(measure(made, list(enumerate(items)), tally)) == list(range(len(items)))
    return tally


def evaluated(contender: Contender, items: Sequence[MediaItem], max_frames: int = 17) -> dict[str, float]:
    made = bench(contender, max_frames=max_frames)
    pairs = list(results(tallied(made, items), made.panel, [c.name for c in made.contenders]))
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def db(gap: int) -> float:
    return 20 * math.log10(255 / gap)


def test_psnr_is_the_mean_over_frames_and_then_over_items(tmp_path: Path) -> None:
    clip_item(tmp_path, "1", flat(2))
    clip_item(tmp_path, "2", flat(6))
    gaps = [1, 2, 10, 10, 10, 10, 10, 40]
    found = evaluated(Brighter(gaps), find_items(tmp_path))
    first, second = (db(1) + db(2)) / 2, (5 * db(10) + db(40)) / 6
    assert found["source/clips/model/psnr_db"] == pytest.approx((first + second) / 2)
    pooled = [10 * math.log10(255**2 / np.mean(np.square(part))) for part in (gaps[:2], gaps[2:])]
    assert found["source/clips/model/psnr_pooled_db"] == pytest.approx(np.mean(pooled))
    assert found["source/clips/model/items"] == 2


def test_ssim_is_the_mean_over_frames_and_then_over_items(tmp_path: Path) -> None:
    clips = [scene(2, 24, 32), scene(5, 24, 32)]
    for name, clip in zip("12", clips, strict=True):
        clip_item(tmp_path, name, clip)
    gaps = [5, 10, 20, 0, 0, 0, 30]
    found = evaluated(Brighter(gaps), find_items(tmp_path))
    pairs = zip(np.concatenate(clips), gaps, strict=True)
    values = [ssim(frame, np.minimum(frame.astype(int) + gap, 255).astype(np.uint8)) for frame, gap in pairs]
    assert found["source/clips/model/ssim"] == pytest.approx((np.mean(values[:2]) + np.mean(values[2:])) / 2)


def test_the_two_ms_ssims_are_never_mixed(tmp_path: Path) -> None:
    write_image(tmp_path / "large.png", scene(1, 176, 180)[0])
    write_image(tmp_path / "small.png", scene(1, 44, 60)[0])
    write_image(tmp_path / "tiny.png", scene(1, 20, 20)[0])
    made = bench(Brighter([9, 0, 9]))
    tally = tallied(made, find_items(tmp_path))
    found, counts = dict(results(tally, made.panel, ["model"])), num_samples(tally, made.panel, ["model"])
    assert found["source/images/model/ms_ssim"] < 0.9999 < found["source/images/model/ms_ssim_3"]
    assert counts["source/images/model/ms_ssim"] == counts["source/images/model/ms_ssim_3"] == 1
    assert counts["source/images/model/psnr_db"] == 3


def test_bits_per_pixel_count_the_ids_of_the_padding_too(tmp_path: Path) -> None:
    clip_item(tmp_path, "1", flat(2, 17, 9))  # grid (2, 3, 2)
    clip_item(tmp_path, "2", flat(6, 16, 16))  # grid (3, 2, 2)
    found = evaluated(TokenizerContender("model", tiny_tokenizer()), find_items(tmp_path))
    assert found["source/clips/model/tokens"] == 12 + 12
    assert found["source/clips/model/bits_per_pixel"] == pytest.approx(24 * 6 / (2 * 17 * 9 + 6 * 16 * 16))
    assert found["source/clips/bicubic/bits_per_pixel"] == pytest.approx(24 * 24 / (2 * 17 * 9 + 6 * 16 * 16))


def test_ids_are_counted_over_all_items_of_a_group(tmp_path: Path) -> None:
    write_image(tmp_path / "1.png", flat(1)[0])
    write_image(tmp_path / "2.png", flat(1)[0])
    ids = [0, 1, 2, 3, 0, 1, 4, 4]
    found = evaluated(Brighter(ids=ids), find_items(tmp_path))
    counts = np.unique(ids, return_counts=True)[1] / 8
    assert found["source/images/model/distinct_ids"] == 5
    assert found["source/images/model/code_usage"] == 5 / 64
    entropy = -(counts * np.log2(counts)).sum()
    assert found["source/images/model/id_entropy_bits"] == pytest.approx(entropy)
    assert found["source/images/model/zero_order_bits_per_pixel"] == pytest.approx(entropy * 8 / (2 * 256))
    shares = [3 / 8, 2 / 8, 2 / 8]  # of ones in the lowest three bits; the others are always zero
    entropies = [-(p * math.log2(p) + (1 - p) * math.log2(1 - p)) for p in shares]
    assert found["source/images/model/bit_entropy_mean"] == pytest.approx(sum(entropies) / 6)
    assert found["source/images/model/bit_entropy_least"] == 0.0


def test_the_bicubic_floor_is_measured_like_the_model(tmp_path: Path) -> None:
    frames = scene(5, 24, 32)
    clip_item(tmp_path, "1", frames)
    found = evaluated(Brighter([3] * 5), find_items(tmp_path))
    low = bicubic_floor(frames, SPACE)
    floor = np.mean([psnr(frame, other) for frame, other in zip(frames, low, strict=True)])
    assert found["source/clips/bicubic/psnr_db"] == pytest.approx(floor)
    assert found["source/clips/bicubic/ssim"] == pytest.approx(np.mean(list(map(ssim, frames, low))))
    assert found["source/clips/model/psnr_gain_db"] == pytest.approx(found["source/clips/model/psnr_db"] - floor)


def test_groups_clips_and_images_are_kept_apart(tmp_path: Path) -> None:
    clip_item(tmp_path, "a/1", flat(2))
    write_image(tmp_path / "a" / "2.png", flat(1)[0])
    write_image(tmp_path / "b" / "deep" / "3.png", flat(1)[0])
    write_image(tmp_path / "4.png", flat(1)[0])
    items = find_items(tmp_path)
    gaps = {"4.png": [1], "1.mkv": [2, 4], "2.png": [8], "3.png": [16]}
    found = evaluated(Brighter([gap for item in items for gap in gaps[item.path.name]]), items)
    cells = {name.rsplit("/", 2)[0] for name in found}
    assert cells == {"source/images", "a/clips", "a/images", "b/images", "all/images"}
    assert {name.rpartition("/")[2] for name in found if "/model/" in name} == ALL | OF_IDS
    assert {name.rpartition("/")[2] for name in found if "/bicubic/" in name} == ALL
    assert len(found) == len(cells) * len([*ALL, *OF_IDS, *ALL])
    assert found["source/images/model/psnr_db"] == pytest.approx(db(1))
    assert found["a/clips/model/psnr_db"] == pytest.approx((db(2) + db(4)) / 2)
    assert found["a/images/model/psnr_db"] == pytest.approx(db(8))
    assert found["b/images/model/psnr_db"] == pytest.approx(db(16))
    assert found["all/images/model/psnr_db"] == pytest.approx((db(1) + db(8) + db(16)) / 3)
    parts = [found[f"{name}/model/tokens"] for name in cells if name.endswith("images") and name != "all/images"]
    assert found["all/images/model/tokens"] == sum(parts)


@pytest.mark.parametrize("group", ["clips", "all"])
def test_one_group_is_not_added_up_and_counts_once_whatever_its_name(tmp_path: Path, group: str) -> None:
    clip_item(tmp_path, f"{group}/1", flat(2))
    found = evaluated(Brighter([1, 1]), find_items(tmp_path))
    assert {name.rsplit("/", 2)[0] for name in found} == {f"{group}/clips"}
    assert found[f"{group}/clips/model/items"] == 1


def test_a_clip_counts_with_its_first_frames(tmp_path: Path) -> None:
    clip_item(tmp_path, "1", flat(9))
    found = evaluated(Brighter([1, 1, 1, 50, 50, 50]), find_items(tmp_path), max_frames=3)
    assert found["source/clips/model/psnr_db"] == pytest.approx(db(1))
    assert found["source/clips/model/tokens"] == 2 * 4


def test_small_frames_have_no_ssim(tmp_path: Path) -> None:
    write_image(tmp_path / "1.png", flat(1, 8, 8)[0])
    found = evaluated(Brighter([5]), find_items(tmp_path))
    assert math.isnan(found["source/images/model/ssim"])
    assert found["source/images/model/psnr_db"] == pytest.approx(db(5))


def test_a_size_scales_the_short_side_and_cuts_the_middle(tmp_path: Path) -> None:
    frames = flat(2, 32, 64, level=10)
    frames[:, :, 16:48] = 200
    assert (centre_square(frames, 32) == 200).all()
    assert centre_square(scene(2, 17, 40), 8).shape == (2, 8, 8, 3)
    assert centre_square(scene(1, 8, 8), 16).shape == (1, 16, 16, 3)
    clip_item(tmp_path, "1", frames)
    made = Bench((Brighter([1, 1]), FloorContender(SPACE)), PLAIN, size=16)
    (record, _) = tallied(made, find_items(tmp_path)).records
    assert record.num_pixels == 2 * 16 * 16
    assert "centre crop 16 x 16" in made.frames_protocol


def test_frames_larger_than_fit_are_scaled_down_by_areas(tmp_path: Path) -> None:
    clip_item(tmp_path, "a", np.kron(scene(2, 16, 24), np.ones((1, 2, 2, 1), np.uint8)))
    clip_item(tmp_path, "b", scene(2, 12, 20))
    made = Bench((Brighter([1, 1]), FloorContender(SPACE)), PLAIN, fit=(16, 40))
    large, small = (made.read(item) for item in find_items(tmp_path))
    assert (large == scene(2, 16, 24)).all()
    assert (small == scene(2, 12, 20)).all()
    assert shrink_to_fit(scene(1, 75, 101), 50, 50).shape == (1, 38, 50, 3)
    assert "within 40 x 16 (area, even sides)" in made.frames_protocol
    with pytest.raises(InputError, match=r"size 8 and fit \(16, 40\): expected one of them"):
        Bench(made.contenders, PLAIN, size=8, fit=(16, 40))


def test_a_real_tokenizer_gets_the_numbers_of_its_own_frames_in_any_order(tmp_path: Path) -> None:
    clips = {"a/1": scene(6, 17, 24), "a/2": scene(1, 24, 17), "b/3": scene(3, 32, 16)}
    for name, frames in clips.items():
        clip_item(tmp_path, name, frames)
    tokenizer = tiny_tokenizer()
    items = find_items(tmp_path)
    found = dict(evaluate_reconstruction(tokenizer, items))
    assert dict(evaluate_reconstruction(tokenizer, items[::-1])) == pytest.approx(found, nan_ok=True)
    pairs = list(reconstruct_frames(tokenizer, clips["b/3"]))
    assert found["b/clips/model/psnr_db"] == pytest.approx(np.mean([psnr(p.original, p.decoded) for p in pairs]))
    ids = [encode_frames(tokenizer, clips[name], None).ids.flatten() for name in ("a/1", "a/2")]
    assert found["a/clips/model/distinct_ids"] == len({int(value) for part in ids for value in part})


def test_progress_counts_items(tmp_path: Path) -> None:
    for number in range(3):
        write_image(tmp_path / f"{number}.png", flat(1)[0])
    seen: list[int] = []
    list(evaluate_reconstruction(tiny_tokenizer(), find_items(tmp_path), progress=seen.append))
    assert seen == [1, 2, 3]


def test_intervals_hold_the_means_and_differences_are_paired(tmp_path: Path) -> None:
    for number in range(6):
        write_image(tmp_path / f"{number}.png", flat(1)[0])
    gaps = [1, 2, 4, 8, 16, 32]
    made = bench(Brighter(gaps), Brighter([2 * gap for gap in gaps], name="worse"))
    names = [contender.name for contender in made.contenders]
    tally = tallied(made, find_items(tmp_path))
    found = dict(results(tally, made.panel, names))
    for name, interval in intervals(tally, made.panel, names).items():
        assert interval.mean == pytest.approx(found[name])
        assert interval.low <= interval.mean <= interval.high
    gap = differences(tally, made.panel, names)["source/images/model - worse/psnr_db"]
    assert gap.low == pytest.approx(gap.high) == pytest.approx(20 * math.log10(2))  # the same on every item


def test_frechet_distances_are_of_all_frames_and_of_the_clips_that_are_long_enough(tmp_path: Path) -> None:
    for number, length in enumerate([2, 3, 4, 5]):
        clip_item(tmp_path, f"{'ab'[number % 2]}/{number}", scene(length, 16, 16) // 2 + np.uint8(9 * number))
    made = Bench((Brighter([20] * 14), FloorContender(SPACE)), panel_with_sets())
    tally = tallied(made, find_items(tmp_path))
    found, counts = dict(results(tally, made.panel, ["model"])), num_samples(tally, made.panel, ["model"])
    assert found["all/clips/model/fd-colour"] == pytest.approx(3 * 20**2)  # the means' distance; no other spread
    assert found["all/clips/model/fd-change"] == pytest.approx(0, abs=1e-9)
    assert counts["all/clips/model/fd-colour"] == 14
    assert (counts["all/clips/model/fd-change"], counts["a/clips/model/fd-change"]) == (3, 1)
    assert math.isnan(found["a/clips/model/fd-change"])  # one clip has no covariance


class Shrinking(Brighter):
    """Gives back frames of another size."""

    def code(self, clips: Sequence[np.ndarray], fps: Sequence[Fraction]) -> list[Outcome]:
        return [Outcome(clip[:, 1:], 1.0, "raw") for clip in clips]


def broken_tokenizer() -> Tokenizer:
    tokenizer = tiny_tokenizer()
    with torch.no_grad():
        next(tokenizer.decoder.parameters()).fill_(math.nan)
    return tokenizer


@pytest.mark.parametrize(
    ("contender", "message"),
    [
        (Shrinking(), r"1\.png: model gave frames of shape \[1, 15, 16, 3\], expected \[1, 16, 16, 3\]"),
        (TokenizerContender("nan", broken_tokenizer()), r"1\.png: nan: .*NaN"),
    ],
)
def test_a_contender_that_fails_is_named_with_the_item(tmp_path: Path, contender: Contender, message: str) -> None:
    write_image(tmp_path / "1.png", flat(1)[0])
    with pytest.raises(InputError, match=message):
        evaluated(contender, find_items(tmp_path))


@pytest.mark.parametrize("name", ["max_frames", "size", "batch_size"])
def test_a_bench_refuses_counts_below_1(name: str) -> None:
    with pytest.raises(InputError, match=f"{name} 0: expected 1 or more"):
        Bench((), PLAIN, **{name: 0})
