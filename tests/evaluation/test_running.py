"""One evaluation, however it is run: in one go, in batches, in several processes, or killed and resumed."""

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest
import torch

from magvit2.data.items import MediaItem, find_items
from magvit2.errors import FormatError, InputError, Magvit2Error
from magvit2.evaluation.parts import part_path
from magvit2.evaluation.results import results
from magvit2.evaluation.running import Setup, describe, hash_of_list, run
from magvit2.evaluation.tally import Tally, merged
from tests.evaluation.making import TinySetup, clip_item, flat, mixed_source

NAMES = ("tiny", "bicubic")


class KilledError(Exception):
    """Stands for the end of a process between two items."""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mixed_source(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def items(source: Path) -> list[MediaItem]:
    return find_items(source)


@pytest.fixture(scope="module")
def expected(source: Path, items: list[MediaItem]) -> dict[str, float]:
    return figures(TinySetup(), source, items)


def figures(
    setup: Setup, source: Path, items: list[MediaItem], folder: Path | None = None, **options: object
) -> dict[str, float]:
    bench = setup.open()
    tally = run(setup, bench, items, describe(setup, bench, items, source), folder, save_every_s=0, **options)  # type: ignore[arg-type]
    assert [record.index for record in tally.records] == [index for index in range(len(items)) for _ in NAMES]
    assert all((record.coding_s or 0) > 0 for record in tally.records)
    return dict(results(tally, bench.panel, NAMES))


def same(found: dict[str, float], expected: dict[str, float]) -> bool:
    return list(found) == list(expected) and found == pytest.approx(expected, rel=1e-6, abs=1e-9, nan_ok=True)


@pytest.mark.parametrize("batch_size", [2, 8])
def test_the_batch_size_changes_nothing(
    source: Path, items: list[MediaItem], expected: dict[str, float], batch_size: int
) -> None:
    assert same(figures(TinySetup(batch_size=batch_size), source, items), expected)


@pytest.mark.parametrize("stop_at", [1, 4, 9])
def test_a_killed_run_goes_on_with_the_same_figures(
    source: Path, items: list[MediaItem], expected: dict[str, float], tmp_path: Path, stop_at: int
) -> None:
    def stop(count: int) -> None:
        if count == stop_at:  # saved by now
            raise KilledError

    with pytest.raises(KilledError):
        figures(TinySetup(), source, items, tmp_path / "out", progress=stop)
    assert len(Tally.load(part_path(tmp_path / "out" / "state", 0))[0].done) == stop_at
    seen: list[int] = []
    found = figures(TinySetup(batch_size=2), source, items, tmp_path / "out", resume=True, progress=seen.append)
    assert same(found, expected)
    assert seen == list(range(stop_at, len(items) + 1))  # nothing is measured twice


def test_two_processes_give_the_figures_of_one_and_a_third_resumes_them(
    source: Path, items: list[MediaItem], expected: dict[str, float], tmp_path: Path
) -> None:
    seen: list[int] = []
    found = figures(TinySetup(), source, items, tmp_path / "out", num_workers=2, progress=seen.append)
    assert same(found, expected)
    assert (seen[0], seen[-1]) == (0, len(items))
    part_path(tmp_path / "out" / "state", 1).unlink()
    assert same(figures(TinySetup(), source, items, tmp_path / "out", resume=True), expected)


def run_slowly(source: Path, folder: Path) -> None:
    """What the process that is killed does."""
    figures(TinySetup(), source, find_items(source), folder, progress=lambda count: time.sleep(0.2))


def test_a_sigkill_at_any_time_leaves_a_state_to_go_on_from(
    source: Path, items: list[MediaItem], expected: dict[str, float], tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    process = multiprocessing.get_context("spawn").Process(target=run_slowly, args=(source, folder))
    process.start()
    while not part_path(folder / "state", 0).exists():
        assert process.is_alive()
        time.sleep(0.02)
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    assert same(figures(TinySetup(), source, items, folder, resume=True), expected)
    assert not list((folder / "state").glob(".*"))


def test_a_worker_that_fails_says_why(tmp_path: Path) -> None:
    clip_item(tmp_path, "good", flat(2))
    (tmp_path / "bad.mkv").write_bytes(b"no video")
    with pytest.raises(Magvit2Error, match=r"bad\.mkv"):
        figures(TinySetup(), tmp_path, find_items(tmp_path), num_workers=2)


def test_other_settings_do_not_resume_and_are_named(source: Path, items: list[MediaItem], tmp_path: Path) -> None:
    folder = tmp_path / "out"
    figures(TinySetup(), source, items[:2], folder)
    with pytest.raises(InputError, match=r"is not empty; give --resume"):
        figures(TinySetup(), source, items[:2], folder)
    with pytest.raises(InputError, match=r"frames was '8-bit RGB, first 17 .*now '8-bit RGB, first 3"):
        figures(TinySetup(max_frames=3), source, items[:2], folder, resume=True)
    with pytest.raises(InputError, match="files was"):
        figures(TinySetup(), source, items[:3], folder, resume=True)
    other = Setup(model="default", metrics=("psnr",))
    with pytest.raises(InputError, match="contenders: default was None, now 'tokenizer"):
        figures(other, source, items[:2], folder, resume=True)


def test_folders_that_hold_something_else_or_a_damaged_state_are_refused(
    source: Path, items: list[MediaItem], tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes").touch()
    with pytest.raises(InputError, match="holds no evaluation to resume"):
        figures(TinySetup(), source, items, tmp_path / "other", resume=True)
    with pytest.raises(InputError, match="is a file"):
        figures(TinySetup(), source, items, tmp_path / "other" / "notes")
    state = tmp_path / "out" / "state"
    state.mkdir(parents=True)
    part_path(state, 0).write_bytes(b"damage")
    with pytest.raises(FormatError, match="part-0"):
        figures(TinySetup(), source, items, tmp_path / "out", resume=True)


def test_an_empty_folder_may_be_resumed(source: Path, items: list[MediaItem], tmp_path: Path) -> None:
    assert figures(TinySetup(), source, items[:1], tmp_path / "new", resume=True)
    with pytest.raises(InputError, match="workers 0: expected 1 or more"):
        figures(TinySetup(), source, items[:1], num_workers=0)


def test_parts_hold_all_that_they_have_measured_and_do_not_overlap(items: list[MediaItem], tmp_path: Path) -> None:
    bench = TinySetup().open()
    tally = run(TinySetup(), bench, items[:4], {})
    tally.save(tmp_path / "part", {"a": 1})
    loaded, settings = Tally.load(tmp_path / "part")
    assert settings == {"a": 1}
    assert loaded.records == tally.records
    assert same(dict(results(loaded, bench.panel, NAMES)), dict(results(tally, bench.panel, NAMES)))
    assert torch.equal(
        loaded.gaussians["a/clips", "tiny", "fd-colour"].mean, tally.gaussians["a/clips", "tiny", "fd-colour"].mean
    )
    with pytest.raises(InputError, match="item 0 was measured twice"):
        merged([tally, loaded])


def test_the_list_s_hash_follows_names_order_and_sizes(source: Path, items: list[MediaItem]) -> None:
    digest = hash_of_list(items, source)
    assert hash_of_list(find_items(source), source) == digest
    assert hash_of_list(items[::-1], source) != digest != hash_of_list(items[1:], source)
    missing = MediaItem(source / "gone.png", "image", "")
    with pytest.raises(InputError, match=r"gone\.png: is listed, but missing"):
        hash_of_list([missing], source)
