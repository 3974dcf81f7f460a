"""Pictures of an evaluation: quality against rate, and contact sheets of clips. The only door to matplotlib."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from magvit2.data.frames import Frames
from magvit2.errors import MissingDependencyError
from magvit2.store import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PLOT_NAME = "rate-quality.png"

_RATE = "bits_per_pixel"
_PANELS = (
    (("psnr_db",), "PSNR, dB", False),
    (("ms_ssim", "ms_ssim_3"), "MS-SSIM (hollow: 3 scales)", False),
    (("psq",), "psq (lower is better)", True),
)
_COLOURS = ("#d62728", "#1f77b4", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf", "#e377c2", "#8c564b", "#bcbd22")
_FLOOR_COLOUR = "#7f7f7f"
_MARKERS = "osD^vP*X<>ph"


@dataclass(frozen=True)
class Tile:
    """One picture of a contact sheet, uint8 [1, H, W, 3], with what stands above it."""

    picture: Frames
    caption: str


def find_problem() -> str:
    """Return why there can be no pictures, "" where there can."""
    try:
        _figure(1, 1)
    except MissingDependencyError as error:
        return str(error)
    return ""


def draw_rate_quality(
    path: Path, title: str, results: dict[str, float], cells: Sequence[str], contenders: Sequence[str]
) -> None:
    """Draw quality against bits per pixel, a point for each contender (colour) and cell (marker).

    Raises MissingDependencyError without matplotlib.
    """
    panels = [panel for panel in _PANELS if any(_points(results, cells, contenders, panel[0]))]
    figure = _figure(4.6 * len(panels), 5.2 + 0.16 * len(cells))
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axis, (metrics, label, is_distance) in zip(axes, panels, strict=True):
        _draw_panel(axis, results, cells, contenders, metrics)
        axis.set_ylabel(label)
        if is_distance:
            axis.invert_yaxis()
    figure.suptitle(title, fontsize=11)
    _add_legend(figure, cells, contenders)
    _save(figure, path)


def draw_sheet(path: Path, title: str, rows: Sequence[tuple[str, Sequence[Tile]]]) -> None:
    """Draw rows of tiles, each row with a label at its left; rows may differ in their pictures' shape.

    Raises MissingDependencyError without matplotlib.
    """
    num_columns = max(len(tiles) for _, tiles in rows)
    width = 3.0
    heights = [width * tiles[0].picture.shape[1] / tiles[0].picture.shape[2] + 0.5 for _, tiles in rows]
    figure = _figure(width * num_columns + 0.3, sum(heights) + 0.4)
    grid = figure.add_gridspec(len(rows), num_columns, height_ratios=heights)
    for row, (label, tiles) in enumerate(rows):
        for column, tile in enumerate(tiles):
            axis = figure.add_subplot(grid[row, column])
            axis.imshow(tile.picture[0], interpolation="nearest" if tile.picture.shape[1] < 128 else "antialiased")
            axis.set_title(tile.caption, fontsize=9, linespacing=1.3)
            axis.set_xticks([])
            axis.set_yticks([])
            if column == 0:
                axis.set_ylabel("\n".join(textwrap.fill(line, 28) for line in label.splitlines()), fontsize=9)
    figure.suptitle(title, fontsize=11)
    _save(figure, path)


def _draw_panel(
    axis: "Axes", results: dict[str, float], cells: Sequence[str], contenders: Sequence[str], metrics: Sequence[str]
) -> None:
    for cell, contender, metric, rate, value in _points(results, cells, contenders, metrics):
        colour, is_hollow = _colour(contender, contenders), metric != metrics[0]
        marker = _MARKERS[cells.index(cell) % len(_MARKERS)]
        is_total = cell.startswith(("all/", "total/"))
        axis.scatter(
            rate, value, s=90 if is_total else 46, marker=marker, edgecolors="black" if is_total else colour,
            facecolors="none" if is_hollow else colour, linewidths=1.4 if is_hollow or is_total else 0.8, zorder=3,
        )  # fmt: skip
    axis.set_xscale("log")
    axis.set_xlabel("bits per pixel")
    _label_few_powers(axis)
    axis.grid(alpha=0.3, linewidth=0.5)


def _label_few_powers(axis: "Axes") -> None:
    """Label 1, 2 and 5 of each power of ten, more where the rates lie within one, less where they span many."""
    from matplotlib.ticker import LogLocator, NullLocator

    low, high = axis.get_xlim()
    subs = (1, 1.5, 2, 3, 5, 7) if high < 10 * low else (1, 2, 5) if high < 100 * low else (1,)
    axis.xaxis.set_major_locator(LogLocator(subs=subs, numticks=20))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter("{x:g}")


def _points(
    results: dict[str, float], cells: Sequence[str], contenders: Sequence[str], metrics: Sequence[str]
) -> list[tuple[str, str, str, float, float]]:
    """Return (cell, contender, metric, rate, value) of all that were measured."""
    found = []
    for cell in cells:
        for contender in contenders:
            rate = results[f"{cell}/{contender}/{_RATE}"]
            for metric in metrics:
                value = results.get(f"{cell}/{contender}/{metric}", float("nan"))
                if value == value and rate > 0:  # noqa: PLR0124 - not nan
                    found.append((cell, contender, metric, rate, value))
    return found


def _colour(contender: str, contenders: Sequence[str]) -> str:
    if contender == "bicubic":
        return _FLOOR_COLOUR
    others = [name for name in contenders if name != "bicubic"]
    return _COLOURS[others.index(contender) % len(_COLOURS)]


def _add_legend(figure: "Figure", cells: Sequence[str], contenders: Sequence[str]) -> None:
    """Put the colours of the contenders and the markers of the cells below the panels."""
    from matplotlib.lines import Line2D

    dots = [
        Line2D([], [], marker="o", linestyle="", color=_colour(name, contenders), label=name) for name in contenders
    ]
    marks = [
        Line2D(
            [], [], marker=_MARKERS[i % len(_MARKERS)], linestyle="", color="#444444", markerfacecolor="none", label=c
        )
        for i, c in enumerate(cells)
    ]
    columns = 4
    figure.legend(handles=[*dots, *marks], loc="outside lower center", ncols=columns, fontsize=8.5, frameon=False)


def _figure(width: float, height: float) -> "Figure":
    """Return an empty figure in inches, drawn without a display. Raises MissingDependencyError."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingDependencyError("plots need matplotlib: pip install 'magvit2[plots]'") from None
    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def _save(figure: "Figure", path: Path) -> None:
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")
