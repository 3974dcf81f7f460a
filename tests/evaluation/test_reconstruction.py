"""The numbers of `evaluate reconstruction`, worked out by hand on clips and a tokenizer that are known."""

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from magvit2.data.items import MediaItem, find_items
from magvit2.evaluation.floor import bicubic_floor
from magvit2.evaluation.reconstruction import evaluate_reconstruction
from magvit2.metrics import psnr, ssim
from magvit2.pipelines import encode_frames, reconstruct_frames, write_frames
from magvit2.tokenizer import Tokenizer
from magvit2.video import write_image
from tests.tiny import EchoTokenizer, tiny_tokenizer
from tests.video.making import scene

METRICS = {
    "items",
    "psnr_db",
    "bicubic_psnr_db",
    "psnr_gain_db",
    "ssim",
    "bicubic_ssim",
    "tokens",
    "distinct_ids",
    "code_usage",
    "id_entropy_bits",
    "bit_entropy_mean",
    "bit_entropy_least",
    "bits_per_pixel",
}


def flat(num_frames: int, height: int = 16, width: int = 16, level: int = 100) -> np.ndarray:
    return np.full((num_frames, height, width, 3), level, np.uint8)


def clip_item(folder: Path, name: str, frames: np.ndarray) -> None:
    path = folder / f"{name}.mkv"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_frames(path, iter(frames), Fraction(25), lossless=True)


def evaluated(tokenizer: Tokenizer, items: list[MediaItem], max_frames: int = 17) -> dict[str, float]:
    pairs = list(evaluate_reconstruction(tokenizer, items, max_frames))
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def db(gap: int) -> float:
    return 20 * math.log10(255 / gap)


def test_psnr_is_the_mean_over_frames_and_then_over_items(tmp_path: Path) -> None:
    clip_item(tmp_path, "1", flat(2))
    clip_item(tmp_path, "2", flat(6))
    gaps = [1, 2, 10, 10, 10, 10, 10, 40]
    results = evaluated(EchoTokenizer(gaps), find_items(tmp_path))
    first = (db(1) + db(2)) / 2
    second = (5 * db(10) + db(40)) / 6
    assert results["source/clips/psnr_db"] == pytest.approx((first + second) / 2)
    assert results["source/clips/items"] == 2


def test_ssim_is_the_mean_over_frames_and_then_over_items(tmp_path: Path) -> None:
    clips = [scene(2, 24, 32), scene(5, 24, 32)]
    for name, clip in zip("12", clips, strict=True):
        clip_item(tmp_path, name, clip)
    gaps = [5, 10, 20, 0, 0, 0, 30]
    results = evaluated(EchoTokenizer(gaps), find_items(tmp_path))
    pairs = zip(np.concatenate(clips), gaps, strict=True)
    values = [ssim(frame, np.minimum(frame.astype(int) + gap, 255).astype(np.uint8)) for frame, gap in pairs]
    assert results["source/clips/ssim"] == pytest.approx((np.mean(values[:2]) + np.mean(values[2:])) / 2)


def test_bits_per_pixel_count_the_ids_of_the_padding_too(tmp_path: Path) -> None:
    clip_item(tmp_path, "1", flat(2, 17, 9))  # grid (2, 3, 2)
    clip_item(tmp_path, "2", flat(6, 16, 16))  # grid (3, 2, 2)
    results = evaluated(EchoTokenizer(), find_items(tmp_path))
    assert results["source/clips/tokens"] == 12 + 12
    assert results["source/clips/bits_per_pixel"] == pytest.approx(24 * 6 / (2 * 17 * 9 + 6 * 16 * 16))


def test_ids_are_counted_over_all_items_of_a_group(tmp_path: Path) -> None:
    write_image(tmp_path / "1.png", flat(1)[0])
    write_image(tmp_path / "2.png", flat(1)[0])
    ids = [0, 1, 2, 3, 0, 1, 4, 4]
    results = evaluated(EchoTokenizer(ids=ids), find_items(tmp_path))
    counts = np.unique(ids, return_counts=True)[1] / 8
    assert results["source/images/distinct_ids"] == 5
    assert results["source/images/code_usage"] == 5 / 64
    assert results["source/images/id_entropy_bits"] == pytest.approx(-(counts * np.log2(counts)).sum())
    shares = [3 / 8, 2 / 8, 2 / 8]  # of ones in the lowest three bits; the others are always zero
    entropies = [-(p * math.log2(p) + (1 - p) * math.log2(1 - p)) for p in shares]
    assert results["source/images/bit_entropy_mean"] == pytest.approx(sum(entropies) / 6)
    assert results["source/images/bit_entropy_least"] == 0.0


def test_the_bicubic_floor_stands_beside_every_number(tmp_path: Path) -> None:
    frames = scene(5, 24, 32)
    clip_item(tmp_path, "1", frames)
    results = evaluated(EchoTokenizer([3] * 5), find_items(tmp_path))
    low = bicubic_floor(frames, EchoTokenizer().space)
    floor = np.mean([psnr(frame, other) for frame, other in zip(frames, low, strict=True)])
    assert results["source/clips/bicubic_psnr_db"] == pytest.approx(floor)
    assert results["source/clips/bicubic_ssim"] == pytest.approx(np.mean(list(map(ssim, frames, low))))
    assert results["source/clips/psnr_gain_db"] == pytest.approx(results["source/clips/psnr_db"] - floor)


def test_groups_clips_and_images_are_kept_apart(tmp_path: Path) -> None:
    clip_item(tmp_path, "a/1", flat(2))
    write_image(tmp_path / "a" / "2.png", flat(1)[0])
    write_image(tmp_path / "b" / "deep" / "3.png", flat(1)[0])
    write_image(tmp_path / "4.png", flat(1)[0])
    items = find_items(tmp_path)
    gaps = {"4.png": [1], "1.mkv": [2, 4], "2.png": [8], "3.png": [16]}
    results = evaluated(EchoTokenizer([gap for item in items for gap in gaps[item.path.name]]), items)
    groups = {name.rpartition("/")[0] for name in results}
    assert groups == {"source/images", "a/clips", "a/images", "b/images", "all/images"}
    assert {name.rpartition("/")[2] for name in results} == METRICS
    assert len(results) == len(groups) * len(METRICS)
    assert results["source/images/psnr_db"] == pytest.approx(db(1))
    assert results["a/clips/psnr_db"] == pytest.approx((db(2) + db(4)) / 2)
    assert results["a/images/psnr_db"] == pytest.approx(db(8))
    assert results["b/images/psnr_db"] == pytest.approx(db(16))
    assert results["all/images/psnr_db"] == pytest.approx((db(1) + db(8) + db(16)) / 3)
    assert results["all/images/tokens"] == sum(results[f"{name}/tokens"] for name in groups if name != "a/clips") / 2


@pytest.mark.parametrize("group", ["clips", "all"])
def test_one_group_is_not_added_up_and_counts_once_whatever_its_name(tmp_path: Path, group: str) -> None:
    clip_item(tmp_path, f"{group}/1", flat(2))
    results = evaluated(EchoTokenizer([1, 1]), find_items(tmp_path))
    assert {name.rpartition("/")[0] for name in results} == {f"{group}/clips"}
    assert results[f"{group}/clips/items"] == 1


def test_a_clip_counts_with_its_first_frames(tmp_path: Path) -> None:
    clip_item(tmp_path, "1", flat(9))
    results = evaluated(EchoTokenizer([1, 1, 1, 50, 50, 50]), find_items(tmp_path), max_frames=3)
    assert results["source/clips/psnr_db"] == pytest.approx(db(1))
    assert results["source/clips/tokens"] == 2 * 4


def test_small_frames_have_no_ssim(tmp_path: Path) -> None:
    write_image(tmp_path / "1.png", flat(1, 8, 8)[0])
    results = evaluated(EchoTokenizer([5]), find_items(tmp_path))
    assert math.isnan(results["source/images/ssim"])
    assert results["source/images/psnr_db"] == pytest.approx(db(5))


def test_a_real_tokenizer_gets_the_numbers_of_its_own_frames_in_any_order(tmp_path: Path) -> None:
    clips = {"a/1": scene(6, 17, 24), "a/2": scene(1, 24, 17), "b/3": scene(3, 32, 16)}
    for name, frames in clips.items():
        clip_item(tmp_path, name, frames)
    tokenizer = tiny_tokenizer()
    items = find_items(tmp_path)
    results = evaluated(tokenizer, items)
    assert evaluated(tokenizer, items[::-1]) == pytest.approx(results, nan_ok=True)
    pairs = list(reconstruct_frames(tokenizer, clips["b/3"]))
    assert results["b/clips/psnr_db"] == pytest.approx(np.mean([psnr(p.original, p.decoded) for p in pairs]))
    ids = [encode_frames(tokenizer, clips[name], None).ids.flatten() for name in ("a/1", "a/2")]
    assert results["a/clips/distinct_ids"] == len({int(value) for part in ids for value in part})


def test_progress_counts_items(tmp_path: Path) -> None:
    for number in range(3):
        write_image(tmp_path / f"{number}.png", flat(1)[0])
    seen: list[int] = []
    list(evaluate_reconstruction(EchoTokenizer(), find_items(tmp_path), progress=seen.append))
    assert seen == [1, 2, 3]
