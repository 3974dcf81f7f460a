"""The verbs train ...: a recipe and a source of data to a model."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, UseAppendAction, arg

from magvit2.cli.common import Json, Nets, Threads, find_device, nets_folder, show, tune_process

if TYPE_CHECKING:
    from magvit2.training.status import RunStatus

Settings = Annotated[
    UseAppendAction[tuple[tuple[str, ...], ...]], arg(metavar="PATH=VALUE ...", help_behavior_hint="(repeatable)")
]


def tokenizer(
    recipe: Annotated[Positional[str], arg(metavar="RECIPE")],
    data: Annotated[Path, arg(metavar="DATA")],
    out: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="(default: runs/RECIPE)")] = None,
    set: Settings = (),
    time_limit: Annotated[float | None, arg(metavar="SECONDS", help_behavior_hint="(default: none)")] = None,
    nets: Nets = None,
    device: Annotated[str, arg(metavar="DEVICE")] = "cpu",
    threads: Threads = None,
    json: Json = False,
) -> None:
    """Train a tokenizer; the same command again resumes where it was interrupted.

    Args:
        recipe: a recipe's name (cpu, tiny, images, clip-b1, h200, paper-k600, ...) or a JSON file such as a run's
            training.json.
        data: folder of videos and images, one with an index.csv, a list (.csv, .jsonl), or WebDataset shards (.tar).
        out: folder of the run: checkpoints, metrics.jsonl, samples, the best model and, in the end, the model.
        set: settings to change, such as num_steps=1000 model.base_channels=48.
        time_limit: save and stop before this command has taken so long; the same command goes on.
        nets: folder of the perceptual loss's network, where the recipe has one.
        device: where it runs: cpu, cuda, cuda:1, ...
        threads: CPU threads.
        json: print machine-readable results instead of tables.
    """
    from magvit2.recipes import tokenizer_recipe
    from magvit2.schema import with_settings
    from magvit2.training import train_tokenizer
    from magvit2.training.distributed import speaks
    from magvit2.training.limit import TimeLimit, process_age_s
    from magvit2.training.status import read_status

    limit = TimeLimit(time_limit, process_age_s())
    out = out or Path("runs") / Path(recipe).stem
    tune_process(threads)
    find_device(device)
    config = with_settings(tokenizer_recipe(recipe), [setting for group in set for setting in group])
    model = train_tokenizer(config, data, out, device, limit, nets=nets_folder(nets))
    if not speaks():
        return
    status = read_status(out)
    scores = {"PSNR of the batches (dB)": status.score, "best on held-out items (dB)": status.best_score}
    _show(recipe, status, scores, model, out, json)


def lm(
    recipe: Annotated[Positional[str], arg(metavar="RECIPE")],
    data: Annotated[Path, arg(metavar="DATA")],
    out: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="(default: runs/RECIPE)")] = None,
    set: Settings = (),
    time_limit: Annotated[float | None, arg(metavar="SECONDS", help_behavior_hint="(default: none)")] = None,
    device: Annotated[str, arg(metavar="DEVICE")] = "cpu",
    threads: Threads = None,
    json: Json = False,
) -> None:
    """Train a language model; the same command again resumes where it was interrupted.

    Args:
        recipe: a recipe's name (lm-video, lm-images, lm-causal, lm-bits, lm-tiny, paper-mlm-k600, ...) or a JSON file
            such as a run's training.json.
        data: folder of token shards (`magvit2 tokenize`), one with such folders train and val, or, for recipes with
            batches (lm-pixels), any source of videos and images.
        out: folder of the run: checkpoints, metrics.jsonl, samples, the best model and, in the end, the model.
        set: settings to change, such as num_steps=1000 transformer.width=256 tokenizer=FOLDER.
        time_limit: save and stop before this command has taken so long; the same command goes on.
        device: where it runs: cpu, cuda, cuda:1, ...
        threads: CPU threads.
        json: print machine-readable results instead of tables.
    """
    from magvit2.recipes import language_recipe
    from magvit2.schema import with_settings
    from magvit2.training import train_language
    from magvit2.training.distributed import speaks
    from magvit2.training.limit import TimeLimit, process_age_s
    from magvit2.training.status import read_status

    limit = TimeLimit(time_limit, process_age_s())
    out = out or Path("runs") / Path(recipe).stem
    tune_process(threads)
    find_device(device)
    config = with_settings(language_recipe(recipe), [setting for group in set for setting in group])
    model = train_language(config, data, out, device, limit)
    if speaks():
        status = read_status(out)
        scores = {"bits a token of the batches": status.score, "best on held-out clips (bits)": status.best_score}
        _show(recipe, status, scores, model, out, json)


def _show(recipe: str, status: "RunStatus", scores: dict[str, float], model: Path, out: Path, as_json: bool) -> None:
    rows = {
        "steps": status.num_done,
        "of": status.num_steps,
        "loss": status.loss,
        **scores,
        "seconds a step": status.step_s,
        "model": str(model),
        "run": str(out),
    }
    state = "finished" if status.is_finished else "stopped by the time limit, the same command goes on"
    show(f"{recipe}: {state}", rows, as_json)
