"""The verbs evaluate ...: numbers with their protocol beside them."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg

from magvit2.cli.common import (
    Json,
    Threads,
    check_at_least_one,
    find_device,
    progress_bars,
    show_json,
    show_table,
    tune_process,
)
from magvit2.errors import InputError

if TYPE_CHECKING:
    from magvit2.data.items import MediaItem
    from magvit2.evaluation.report import Evaluation
    from magvit2.evaluation.running import Setup

DATA_VARIABLE = "MAGVIT2_DATA"

Count = Annotated[int, arg(metavar="N")]
Switch = Annotated[bool, arg(help_behavior_hint="")]
Names = Annotated[tuple[str, ...], arg(metavar="NAME ...")]


@dataclass(frozen=True)
class Options:
    """What is measured, where it runs, and where the report goes."""

    compare: Annotated[Names, arg(help_behavior_hint="(default: bicubic alone)")] = ()
    """others beside the model: models, or x264, x265, svtav1, vvenc, jpeg, webp, avif @BPP, or @same as the model, or
    @crfN, @qpN, @qN; identity, bicubic."""
    metrics: Annotated[Names, arg(help_behavior_hint="(default: all that can be)")] = ()
    """metrics to measure: psnr ssim ms_ssim psq lpips-... vmaf fd-mbv2 fd-mbv2-t fid fvd-..."""
    nets: Annotated[
        Path | None, arg(metavar="DIR", help_behavior_hint=f"(default: nets in {DATA_VARIABLE}, if set)")
    ] = None
    """folder of the metrics' networks."""
    out: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint="(default: none)")] = None
    """folder for the report: tables, items, plots, contact sheets."""
    resume: Switch = False
    """go on with what is in the report's folder."""
    batch_size: Count = 1
    """clips of equal shape that go through a model together; for GPUs."""
    workers: Count = 1
    """processes that share the items."""
    device: Annotated[str, arg(metavar="DEVICE")] = "cpu"
    """where it runs: cpu, cuda, cuda:1, ..."""
    dtype: Literal["fp32", "bf16"] = "fp32"
    """type of the models' arithmetic; bf16 is the fast one."""
    threads: Threads = None
    """CPU threads of each process."""
    json: Json = False
    """print machine-readable results instead of tables."""


def reconstruction(
    model: Annotated[Positional[str], arg(metavar="MODEL")],
    data: Annotated[Positional[Path], arg(metavar="DATA")],
    split: Literal["train", "val", "test"] = "val",
    max_frames: Count = 17,
    size: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: native size)")] = None,
    fit: Annotated[str | None, arg(metavar="WxH", help_behavior_hint="(default: native size)")] = None,
    limit: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: all)")] = None,
    options: Annotated[Options, arg(name="")] = Options(),
) -> None:
    """Measure how a model reconstructs a source, beside the bicubic floor and whatever else it is compared with.

    Args:
        model: embedded name, model folder, or owner/name on the hub.
        data: folder of videos and images, or one with an index.csv.
        split: rows of the index, or lists of UCF-101, to use; another source is used whole.
        max_frames: frames of each clip, from its beginning.
        size: scale the short side to N pixels and cut the square in the middle.
        fit: scale larger frames down to lie within a width and a height, as in 640x360.
        limit: how many items of each group, from its first.
        options: what is measured, where it runs, and where the report goes.
    """
    from magvit2.data.items import find_items, first_of_each_group
    from magvit2.evaluation.running import Setup

    for name, count in (("--max-frames", max_frames), ("--size", size), ("--limit", limit)):
        check_at_least_one(name, count)
    for name, count in (("--batch-size", options.batch_size), ("--workers", options.workers)):
        check_at_least_one(name, count)
    if options.resume and options.out is None:
        raise InputError("--resume: expected --out with the folder to go on with")
    items = find_items(data, split)
    if limit is not None:
        items = first_of_each_group(items, limit)
    setup = Setup(
        model=model, compare=options.compare, metrics=options.metrics, nets=_nets(options.nets),
        max_frames=max_frames, size=size, fit=_sides(fit), batch_size=options.batch_size,
        device=options.device, dtype=options.dtype, threads=options.threads,
    )  # fmt: skip
    _show(_evaluate(setup, items, data, split, options), options.json)


def _sides(given: str | None) -> tuple[int, int] | None:
    """Return height and width of `640x360`. Raises InputError for anything else."""
    if given is None:
        return None
    width, _, height = given.partition("x")
    if not (width.isdecimal() and height.isdecimal() and min(int(width), int(height)) > 1):
        raise InputError(f"--fit {given}: expected a width and a height of 2 pixels or more, as in 640x360")
    return int(height), int(width)


def _nets(given: Path | None) -> Path | None:
    """Return the folder of networks: the one given, the data folder's, or none. Raises InputError where it is none."""
    if given is not None and not given.is_dir():
        raise InputError(f"--nets {given}: not a folder; give the one that holds the networks' files")
    usual = Path(os.environ[DATA_VARIABLE]) / "nets" if os.environ.get(DATA_VARIABLE) else None
    return given or (usual if usual is not None and usual.is_dir() else None)


def _evaluate(setup: "Setup", items: "list[MediaItem]", data: Path, split: str, options: Options) -> "Evaluation":
    from magvit2.data.items import scope_of
    from magvit2.evaluation.plots import find_problem
    from magvit2.evaluation.provenance import provenance
    from magvit2.evaluation.report import Evaluation
    from magvit2.evaluation.running import describe, run

    tune_process(setup.threads)
    find_device(setup.device)
    bench = setup.open()
    settings = describe(setup, bench, items, data)
    with progress_bars("items") as bar:
        tally = run(
            setup, bench, items, settings, options.out,
            resume=options.resume, num_workers=options.workers, progress=bar("evaluate", len(items)),
        )  # fmt: skip
    names = tuple(contender.name for contender in bench.contenders)
    title = f"{setup.model} on {data}"
    scope = f"{scope_of(data, split)}, {len(items)} items"
    problem = find_problem() if options.out is not None else ""
    notes = (f"no pictures: {problem}",) if problem else ()
    evaluation = Evaluation(title, data, scope, settings, provenance(setup.device), names, bench.panel, tally, notes)
    if options.out is not None:
        from magvit2.evaluation.report import write_report
        from magvit2.evaluation.sheets import draw_all

        write_report(options.out, evaluation)
        if not problem:
            draw_all(options.out, evaluation, bench, items)
    return evaluation


def _show(evaluation: "Evaluation", as_json: bool) -> None:
    values = evaluation.values
    if as_json:
        show_json(values)
        return
    results: dict[str, Any] = {name: math.nan if v is None else v for name, v in values["results"].items()}
    for cell in dict.fromkeys(name.rsplit("/", 2)[0] for name in results):
        own = {name.removeprefix(f"{cell}/"): v for name, v in results.items() if name.rsplit("/", 2)[0] == cell}
        show_table(f"{evaluation.title}: {cell}", ["", *evaluation.contenders], _rows(own, evaluation.contenders))
    not_measured = [f"{name}: not measured: {why}" for name, why in evaluation.panel.not_measured.items()]
    print("\n".join([*not_measured, *evaluation.notes]))  # noqa: T201
    print(f"protocol: {values['protocol']['files']}; {values['protocol']['frames']}; {values['protocol']['means']}")  # noqa: T201


def _rows(values: dict[str, float], contenders: Sequence[str]) -> list[list[Any]]:
    """Return a row for each metric that some contender has."""
    metrics = dict.fromkeys(name.rsplit("/", 1)[1] for name in values)
    rows: list[list[Any]] = [
        [metric, *(values.get(f"{name}/{metric}", math.nan) for name in contenders)] for metric in metrics
    ]
    return [row for row in rows if not all(math.isnan(value) for value in row[1:])]
