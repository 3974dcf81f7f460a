"""The pictures of a report; contact sheets show the worst, median and best item by the first contender's PSNR."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from magvit2.data.items import MediaItem
from magvit2.evaluation.plots import PLOT_NAME, Tile, draw_rate_quality, draw_sheet
from magvit2.evaluation.rate_curves import rates_of_metrics
from magvit2.evaluation.reconstruction import Bench, code_checked, rate_of
from magvit2.evaluation.report import Evaluation
from magvit2.evaluation.results import cells
from magvit2.evaluation.tally import Record, Tally

_RANKS = ("worst", "median", "best")


@dataclass(frozen=True)
class Choice:
    """An item that is shown, and its rank."""

    rank: str
    index: int


def draw_all(folder: Path, evaluation: Evaluation, bench: Bench, items: Sequence[MediaItem]) -> list[Path]:
    """Write all pictures of an evaluation; return their paths. Raises MissingDependencyError without matplotlib."""
    names = [cell.name for cell in cells(evaluation.tally)]
    rates = rates_of_metrics(evaluation.tally, evaluation.panel.value_names)
    draw_rate_quality(folder / PLOT_NAME, evaluation.title, evaluation.results, rates, names, evaluation.contenders)
    return [folder / PLOT_NAME, *draw_sheets(folder, bench, items, evaluation.tally)]


def draw_sheets(folder: Path, bench: Bench, items: Sequence[MediaItem], tally: Tally) -> list[Path]:
    """Write `clips.png` and `images.png`, those of which there are items, and return their paths.

    The items that are shown go through the contenders once more; a clip shows the frame in its middle.
    """
    written = []
    for kind in ("clips", "images"):
        chosen = choose(tally, bench.contenders[0].name, kind)
        if chosen:
            path = folder / f"{kind}.png"
            rows = [_row(choice, bench, items[choice.index], tally) for choice in chosen]
            title = f"{kind} by PSNR under {bench.contenders[0].name}"
            draw_sheet(path, title + (": frames in their middle" if kind == "clips" else ""), rows)
            written.append(path)
    return written


def choose(tally: Tally, contender: str, kind: str) -> list[Choice]:
    """Return the items with the least, the median and the greatest PSNR under a contender, each item once."""
    records = [r for r in tally.records if r.contender == contender and r.cell.endswith(f"/{kind}")]
    ranked = [record.index for record in sorted(records, key=lambda record: record.values["psnr_db"])]
    if not ranked:
        return []
    picked = {ranked[0]: _RANKS[0]}
    picked.setdefault(ranked[-1], _RANKS[2])
    picked.setdefault(ranked[len(ranked) // 2], _RANKS[1])
    return [Choice(rank, index) for rank in _RANKS for index, have in picked.items() if have == rank]


def _row(choice: Choice, bench: Bench, item: MediaItem, tally: Tally) -> tuple[str, list[Tile]]:
    frames = bench.read(item)
    middle = slice(len(frames) // 2, len(frames) // 2 + 1)
    records = {record.contender: record for record in tally.records if record.index == choice.index}
    tiles = [Tile(frames[middle], f"original\n{frames.shape[2]} x {frames.shape[1]}")]
    for contender in bench.contenders:
        (outcome,) = code_checked(contender, [frames], [rate_of(item)], item)
        tiles.append(Tile(outcome.frames[middle], caption(records[contender.name])))
    name = item.title
    return f"{choice.rank}: {item.group or 'source'}\n{name}", tiles


def caption(record: Record) -> str:
    """Return what stands above a reconstruction: contender, dB, bits per pixel."""
    return f"{record.contender}\n{record.values['psnr_db']:.2f} dB, {record.bits_per_pixel:.3f} bpp"
