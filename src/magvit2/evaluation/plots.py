"""Pictures of an evaluation: quality against rate, and contact sheets of clips. The only door to matplotlib."""

import itertools
import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from magvit2.data.frames import Frames
from magvit2.errors import MissingDependencyError
from magvit2.evaluation.rate_curves import find_curves
from magvit2.store import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PLOT_NAME = "rate-quality.png"

_PANELS = (
    (("psnr_db",), "PSNR, dB", False),
    (("ms_ssim", "ms_ssim_3"), "MS-SSIM (hollow: 3 scales)", False),
    (("psq",), "psq (lower is better)", True),
)
_COLOURS = ("#d62728", "#1f77b4", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf", "#e377c2", "#8c564b", "#bcbd22")
_FLOOR_COLOUR = "#7f7f7f"
_MARKERS = "osD^vP*X<>ph"
_MIN_TICKS = 4
_DIGITS = ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7))


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
    path: Path,
    title: str,
    results: dict[str, float],
    rates: dict[str, float],
    cells: Sequence[str],
    contenders: Sequence[str],
) -> None:
    """Draw quality against bits per pixel, a point for each contender (colour) and cell (marker).

    `results` and `rates` are by CELL/CONTENDER/METRIC, `rates` in bits per pixel of what has the metric. The points of
    a rate curve have one colour, and in each cell a line through them. Raises MissingDependencyError without
    matplotlib.
    """
    panels = [panel for panel in _PANELS if any(_points(results, rates, cells, contenders, panel[0]))]
    figure = _figure(4.6 * len(panels), 5.2 + 0.16 * len(cells))
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axis, (metrics, label, is_distance) in zip(axes, panels, strict=True):
        _draw_panel(axis, results, rates, cells, contenders, metrics)
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
    axis: "Axes",
    results: dict[str, float],
    rates: dict[str, float],
    cells: Sequence[str],
    contenders: Sequence[str],
    metrics: Sequence[str],
) -> None:
    colours = _colours(contenders)
    for cell, contender, metric, rate, value in _points(results, rates, cells, contenders, metrics):
        colour, is_hollow = colours[contender], metric != metrics[0]
        marker = _MARKERS[cells.index(cell) % len(_MARKERS)]
        is_framed = _is_total(cell) and not is_hollow
        axis.scatter(
            rate, value, s=90 if _is_total(cell) else 46, marker=marker, edgecolors="black" if is_framed else colour,
            facecolors="none" if is_hollow else colour, linewidths=1.4 if is_hollow or is_framed else 0.8, zorder=3,
        )  # fmt: skip
    for cell, metric, members in itertools.product(cells, metrics, find_curves(contenders).values()):
        line = sorted((rate, value) for *_, rate, value in _points(results, rates, [cell], members, [metric]))
        width, alpha = (1.6, 0.8) if _is_total(cell) else (1.0, 0.4)
        axis.plot(*zip(*line, strict=True), color=colours[members[0]], linewidth=width, alpha=alpha, zorder=2)
    _label_rates(axis)
    axis.grid(alpha=0.3, linewidth=0.5)


def _is_total(cell: str) -> bool:
    return cell.startswith(("all/", "total/"))


def _label_rates(axis: "Axes") -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    axis.set_xscale("log")
    axis.set_xlabel("bits per pixel")
    axis.set_xticks(rate_ticks(*axis.get_xlim()))
    axis.xaxis.set_major_formatter("{x:g}")
    axis.xaxis.set_minor_locator(LogLocator(subs=range(2, 10)))
    axis.xaxis.set_minor_formatter(NullFormatter())


def rate_ticks(low: float, high: float) -> list[float]:
    """Return the rates that are labelled between two on a logarithmic axis: round ones, four or more."""
    assert 0 < low < high
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    several = ([digit * 10.0**power for power in powers for digit in digits] for digits in _DIGITS)
    steps = (digit * 10.0**power for power in itertools.count(powers[-1], -1) for digit in (5, 2, 1))
    even = ([n * step for n in range(math.ceil(low / step), math.floor(high / step) + 1)] for step in steps)
    inside = ([rate for rate in rates if low <= rate <= high] for rates in itertools.chain(several, even))
    return next(rates for rates in inside if len(rates) >= _MIN_TICKS)


def _points(
    results: dict[str, float],
    rates: dict[str, float],
    cells: Sequence[str],
    contenders: Sequence[str],
    metrics: Sequence[str],
) -> list[tuple[str, str, str, float, float]]:
    """Return (cell, contender, metric, rate, value) of all that were measured."""
    found = []
    for cell, contender, metric in itertools.product(cells, contenders, metrics):
        name = f"{cell}/{contender}/{metric}"
        value, rate = results.get(name, math.nan), rates.get(name, math.nan)
        if not math.isnan(value) and rate > 0:
            found.append((cell, contender, metric, rate, value))
    return found


def _colours(contenders: Sequence[str]) -> dict[str, str]:
    """Return the colour of each contender and of each curve: a curve's contenders share one."""
    owners = _owners(contenders)
    distinct = [name for name in dict.fromkeys(owners.values()) if name != "bicubic"]
    by_owner = {name: _COLOURS[index % len(_COLOURS)] for index, name in enumerate(distinct)}
    by_owner["bicubic"] = _FLOOR_COLOUR
    return by_owner | {name: by_owner[owner] for name, owner in owners.items()}


def _owners(contenders: Sequence[str]) -> dict[str, str]:
    """Return by contender the curve that it belongs to, or itself."""
    own = {name: curve for curve, members in find_curves(contenders).items() for name in members}
    return {name: own.get(name, name) for name in contenders}


def _add_legend(figure: "Figure", cells: Sequence[str], contenders: Sequence[str]) -> None:
    """Put the colours of the contenders and the markers of the cells below the panels."""
    from matplotlib.lines import Line2D

    colours, names = _colours(contenders), dict.fromkeys(_owners(contenders).values())
    dots = [
        Line2D([], [], marker="o", linestyle="" if name in contenders else "-", color=colours[name], label=name)
        for name in names
    ]
    marks = [
        Line2D(
            [], [], marker=_MARKERS[i % len(_MARKERS)], linestyle="", color="#444444", markerfacecolor="none", label=c
        )
        for i, c in enumerate(cells)
    ]
    columns = 4 if figure.get_figwidth() > 6 else 2  # as wide as the panels
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
