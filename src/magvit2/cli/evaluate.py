"""The verbs evaluate ...: numbers with their protocol beside them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg

from magvit2.cli.common import (
    Json,
    Nets,
    Threads,
    check_at_least_one,
    find_device,
    nets_folder,
    progress_bars,
    show_json,
    show_table,
    tune_process,
)
from magvit2.errors import InputError

if TYPE_CHECKING:
    from magvit2.data.items import MediaItem, Split
    from magvit2.evaluation.generation import GenerationSetup
    from magvit2.evaluation.generation_report import Comparison
    from magvit2.evaluation.report import Evaluation
    from magvit2.evaluation.running import Setup
    from magvit2.evaluation.sides import Side, SideName

Count = Annotated[int, arg(metavar="N")]
Switch = Annotated[bool, arg(help_behavior_hint="")]
Names = Annotated[tuple[str, ...], arg(metavar="NAME ...")]
GivenSplit = Annotated[
    Literal["train", "val", "test"] | None, arg(help_behavior_hint="(default: val; all of a source without splits)")
]


@dataclass(frozen=True)
class RunOptions:
    """Where an evaluation runs, and where the report goes."""

    nets: Nets = None
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
    threads: Threads = None
    """CPU threads of each process."""
    json: Json = False
    """print machine-readable results instead of tables."""


@dataclass(frozen=True)
class Options(RunOptions):
    """What is measured, where it runs, and where the report goes."""

    compare: Annotated[Names, arg(help_behavior_hint="(default: bicubic alone)")] = ()
    """others beside the model: models, alone or @Nbits (decoded from the lowest N bits of each id), or x264, x265,
    svtav1, vvenc, jpeg, webp, avif @BPP, or @same as the model, or @crfN, @qpN, @qN; identity, bicubic."""
    metrics: Annotated[Names, arg(help_behavior_hint="(default: all that can be)")] = ()
    """metrics to measure: psnr ssim ms_ssim psq lpips-... vmaf fd-mbv2 fd-mbv2-t fid fvd-..."""
    dtype: Literal["fp32", "bf16"] = "fp32"
    """type of the models' arithmetic; bf16 is the fast one."""


@dataclass(frozen=True)
class GenerationOptions(RunOptions):
    """What is measured, where it runs, and where the report goes."""

    metrics: Annotated[Names, arg(help_behavior_hint="(default: all that can be)")] = ()
    """metrics to measure: fd-mbv2-t fvd-styleganv fvd-videogpt fd-mbv2 fid is."""


def reconstruction(
    model: Annotated[Positional[str], arg(metavar="MODEL")],
    data: Annotated[Positional[Path], arg(metavar="DATA")],
    split: GivenSplit = None,
    groups: Annotated[Names, arg(help_behavior_hint="(default: all)")] = (),
    max_frames: Count = 17,
    size: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: native size)")] = None,
    fit: Annotated[str | None, arg(metavar="WxH", help_behavior_hint="(default: native size)")] = None,
    limit: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: all)")] = None,
    options: Annotated[Options, arg(name="")] = Options(),
) -> None:
    """Measure how a model reconstructs a source, beside the bicubic floor and whatever else it is compared with.

    Args:
        model: embedded name, model folder, or owner/name on the hub; @10bits behind it: from 10 bits of each id.
        data: folder of videos and images, one with an index.csv, a list (.csv, .jsonl), or WebDataset shards (.tar).
        split: part to use, by index, list or lists of UCF-101; without any, what a training keeps or holds out.
        groups: top folders of the source to use.
        max_frames: frames of each clip, from its beginning.
        size: scale the short side to N pixels and cut the square in the middle.
        fit: scale larger frames down to lie within a width and a height, as in 640x360.
        limit: how many items of each group, from its first.
        options: what is measured, where it runs, and where the report goes.
    """
    from magvit2.data.items import find, first_of_each_group, only_groups
    from magvit2.evaluation.running import Setup

    for name, count in (("--max-frames", max_frames), ("--size", size), ("--limit", limit)):
        check_at_least_one(name, count)
    _check_run(options)
    items, scope, _ = find(data, split or "val", hold_out=split is not None)
    if groups:
        items = only_groups(items, groups)
    if limit is not None:
        items = first_of_each_group(items, limit)
    setup = Setup(
        model=model, compare=options.compare, metrics=options.metrics, nets=nets_folder(options.nets),
        max_frames=max_frames, size=size, fit=_sides(fit), batch_size=options.batch_size,
        device=options.device, dtype=options.dtype, threads=options.threads,
    )  # fmt: skip
    _show(_evaluate(setup, items, data, scope, options), options.json)


def _sides(given: str | None) -> tuple[int, int] | None:
    """Return height and width of `640x360`. Raises InputError for anything else."""
    if given is None:
        return None
    width, _, height = given.partition("x")
    if not (width.isdecimal() and height.isdecimal() and min(int(width), int(height)) > 1):
        raise InputError(f"--fit {given}: expected a width and a height of 2 pixels or more, as in 640x360")
    return int(height), int(width)


def generation(
    samples: Annotated[Positional[Path], arg(metavar="SAMPLES")],
    reference: Annotated[Positional[Path], arg(metavar="REFERENCE")],
    split: GivenSplit = None,
    stride: Count = 1,
    windows: Annotated[int | Literal["all"], arg(metavar="N|all")] = 1,
    folds: Count = 4,
    size: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: native size)")] = None,
    limit: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: all)")] = None,
    options: Annotated[GenerationOptions, arg(name="")] = GenerationOptions(),
) -> None:
    """Measure how close the distribution of generated clips and images is to that of a reference.

    Args:
        samples: folder of generated videos and images; with an index.csv, its rows of the split.
        reference: folder of real ones, or one with an index.csv.
        split: part to use, by index, list or lists of UCF-101; without any, what a training keeps or holds out.
        stride: take every N-th frame of a clip.
        windows: how many windows of 16 frames of each clip, side by side from its beginning.
        folds: parts of the sample clips; distances of clips get their mean and spread. MAGVIT reports 4.
        size: scale the short side to N pixels and cut the square in the middle, on both sides.
        limit: how many clips and how many images of each side, from its first.
        options: what is measured, where it runs, and where the report goes.
    """
    from magvit2.evaluation.generation import GenerationSetup

    counts = ("--stride", stride), ("--folds", folds), ("--size", size), ("--limit", limit)
    num_windows = None if windows == "all" else windows
    for name, count in (*counts, ("--windows", num_windows)):
        check_at_least_one(name, count)
    _check_run(options)
    # Lists of UCF-101 beside a folder of samples are of the real clips, and nothing of samples is held out.
    is_same = samples.exists() and reference.exists() and samples.samefile(reference)
    sides = (
        _side("samples", samples, split, limit, is_real=is_same),
        _side("reference", reference, split, limit, is_real=True),
    )
    setup = GenerationSetup(
        metrics=options.metrics, nets=nets_folder(options.nets), stride=stride, num_windows=num_windows,
        num_folds=folds, size=size, batch_size=options.batch_size, device=options.device, threads=options.threads,
    )  # fmt: skip
    _show_comparison(_compare(setup, *sides, options), options.json)


def _check_run(options: RunOptions) -> None:
    """Raise InputError for counts below 1, and where there is no folder to resume."""
    for name, count in (("--batch-size", options.batch_size), ("--workers", options.workers)):
        check_at_least_one(name, count)
    if options.resume and options.out is None:
        raise InputError("--resume: expected --out with the folder to go on with")


def _evaluate(setup: "Setup", items: "list[MediaItem]", data: Path, scope: str, options: Options) -> "Evaluation":
    from magvit2.evaluation.cost import configs_of
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
    scope = f"{scope}, {len(items)} items"
    problem = find_problem() if options.out is not None else ""
    notes = (f"no pictures: {problem}",) if problem else ()
    evaluation = Evaluation(
        title,
        data,
        scope,
        settings,
        provenance(setup.device),
        names,
        bench.panel,
        tally,
        notes,
        configs_of(bench.contenders),
    )
    if options.out is not None:
        from magvit2.evaluation.report import write_report
        from magvit2.evaluation.sheets import draw_all

        write_report(options.out, evaluation)
        if not problem:
            draw_all(options.out, evaluation, bench, items)
    return evaluation


def _side(name: "SideName", folder: Path, split: "Split | None", limit: int | None, *, is_real: bool) -> "Side":
    from magvit2.data.items import find
    from magvit2.evaluation.sides import Side, first_of_each_kind

    items, scope, _ = find(folder, split or "val", hold_out=is_real and split is not None, use_lists=is_real)
    chosen = items if limit is None else first_of_each_kind(items, limit)
    return Side(name, folder, tuple(chosen), scope)


def _compare(setup: "GenerationSetup", samples: "Side", reference: "Side", options: RunOptions) -> "Comparison":
    from magvit2.evaluation.generation import describe_generation
    from magvit2.evaluation.generation_report import Comparison, draw_generation_sheets, write_generation_report
    from magvit2.evaluation.plots import find_problem
    from magvit2.evaluation.provenance import provenance
    from magvit2.evaluation.running import run
    from magvit2.evaluation.sides import match_sides

    tune_process(setup.threads)
    find_device(setup.device)
    bench = setup.open()
    with progress_bars("items") as bar:
        look = bar("look", len(samples.items) + len(reference.items))
        match = match_sides(samples, reference, setup.windows, setup.size, look)
        settings = describe_generation(setup, bench, samples, reference)
        tally = run(
            setup, bench, match.entries, settings, options.out,
            resume=options.resume, num_workers=options.workers, progress=bar("compare", len(match.entries)),
        )  # fmt: skip
    problem = find_problem() if options.out is not None else ""
    notes = (f"no pictures: {problem}",) if problem else ()
    made_by = provenance(setup.device)
    comparison = Comparison(samples, reference, match, bench, settings, made_by, tally, notes)
    if options.out is not None:
        write_generation_report(options.out, comparison)
        if not problem:
            draw_generation_sheets(options.out, comparison)
    return comparison


def _show_comparison(comparison: "Comparison", as_json: bool) -> None:
    from magvit2.evaluation.generation_report import HEADER, row_of

    if as_json:
        show_json(comparison.values)
        return
    for kind in comparison.counts:
        rows = [[score.metric, *row_of(score)] for score in comparison.scores if score.kind == kind]
        if rows:
            show_table(f"{comparison.title}: {kind}", ["", *HEADER], rows)
    not_measured = [f"{name}: not measured: {why}" for name, why in comparison.not_measured.items()]
    names = ("samples", "reference", "frames", "folds")
    protocol = "; ".join(f"{name}: {comparison.protocols[name]}" for name in names)
    print("\n".join([*not_measured, *comparison.all_notes, f"protocol: {protocol}"]))  # noqa: T201


def _show(evaluation: "Evaluation", as_json: bool) -> None:
    from magvit2.evaluation.rate_curves import HEADER, table_rows

    values = evaluation.values
    if as_json:
        show_json(values)
        return
    results: dict[str, Any] = {name: math.nan if v is None else v for name, v in values["results"].items()}
    for cell in dict.fromkeys(name.rsplit("/", 2)[0] for name in results):
        own = {name.removeprefix(f"{cell}/"): v for name, v in results.items() if name.rsplit("/", 2)[0] == cell}
        show_table(f"{evaluation.title}: {cell}", ["", *evaluation.contenders], _rows(own, evaluation.contenders))
    if evaluation.bd_rates:
        title = f"{evaluation.title}: against {evaluation.bd_rates[0].anchor}"
        show_table(title, HEADER, table_rows(evaluation.bd_rates))
    not_measured = [f"{name}: not measured: {why}" for name, why in evaluation.not_measured.items()]
    print("\n".join([*not_measured, *evaluation.notes]))  # noqa: T201
    print(f"protocol: {values['protocol']['files']}; {values['protocol']['frames']}; {values['protocol']['means']}")  # noqa: T201


def _rows(values: dict[str, float], contenders: Sequence[str]) -> list[list[Any]]:
    """Return a row for each metric that some contender has."""
    metrics = dict.fromkeys(name.rsplit("/", 1)[1] for name in values)
    rows: list[list[Any]] = [
        [metric, *(values.get(f"{name}/{metric}", math.nan) for name in contenders)] for metric in metrics
    ]
    return [row for row in rows if not all(math.isnan(value) for value in row[1:])]
