"""Trains the ablations one after another, scores each on held-out clips, and prints the table.

    python -m magvit2.recipes.ablate --data DATA --nets DATA/nets --out runs/ablations [NAME ...]

What is trained and scored already is not done again, so the same command goes on after an interruption. Scores are
means over up to 16 `val` clips of each group (17 frames of their own size); beside them the minutes that training took.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from magvit2.data.items import find_items, first_of_each_group
from magvit2.errors import Magvit2Error
from magvit2.evaluation.contenders import FloorContender, TokenizerContender
from magvit2.evaluation.reconstruction import MODEL, Bench, measure
from magvit2.evaluation.results import results
from magvit2.evaluation.scores import open_panel
from magvit2.evaluation.tally import Tally
from magvit2.recipes.ablations import ABLATION_RECIPES
from magvit2.recipes.tokenizer import tokenizer_recipe
from magvit2.runtime import tune
from magvit2.schema import with_settings
from magvit2.store import write_text
from magvit2.tokenizer import Tokenizer
from magvit2.training import TokenizerTraining, train_tokenizer
from magvit2.training.status import PRETRAINING

_METRICS = ("psnr", "ssim", "psq", "fd-mbv2")
_COLUMNS = {
    "psnr_db": "PSNR, dB",
    "psnr_gain_db": "over bicubic",
    "ssim": "SSIM",
    "psq": "psq",
    "fd-mbv2": "fd-mbv2",
    "bit_entropy_mean": "entropy of a bit, mean",
    "bit_entropy_least": "least",
    "distinct_ids": "distinct ids",
    "bits_per_pixel": "bits per pixel",
}
_CLIPS_PER_GROUP = 16
_SCORES = "scores.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 0 done, 1 failed."""
    given = _parser().parse_args(arguments)
    tune(given.threads)
    scores = {}
    try:
        for name in given.names or ABLATION_RECIPES:
            scores[name] = _score(name, given)
            sys.stdout.write(_row(name, scores[name]) if len(scores) > 1 else _head() + _row(name, scores[name]))
            sys.stdout.flush()
    except Magvit2Error as error:
        sys.stderr.write(f"magvit2: {' '.join(str(error).split())}\n")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m magvit2.recipes.ablate", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(ABLATION_RECIPES)} (default: all)")
    parser.add_argument("--data", type=Path, required=True, help="a source with splits train and val")
    parser.add_argument("--nets", type=Path, required=True, help="folder of the perceptual and the metrics' networks")
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="CPU threads (default: 1)")
    parser.add_argument("--set", nargs="+", action="extend", default=[], metavar="PATH=VALUE", help="settings of all")
    return parser


def _score(name: str, given: argparse.Namespace) -> dict[str, float]:
    """Return the scores of an ablation, trained if it is not yet."""
    folder = given.out / name
    if (folder / _SCORES).is_file():
        found: dict[str, float] = json.loads((folder / _SCORES).read_text(encoding="utf-8"))
        return found
    config = with_settings(tokenizer_recipe(name), given.set)
    model = train_tokenizer(config, given.data, folder, nets=given.nets)
    scores = _measured(Tokenizer.from_pretrained(model), given) | {"minutes": _minutes(folder, config)}
    write_text(folder / _SCORES, json.dumps(scores, indent=2) + "\n")
    return scores


def _measured(tokenizer: Tokenizer, given: argparse.Namespace) -> dict[str, float]:
    contenders = (TokenizerContender(MODEL, tokenizer), FloorContender(tokenizer.space))
    bench = Bench(contenders, open_panel(_METRICS, given.nets))
    clips = [item for item in find_items(given.data, "val", hold_out=True) if item.is_clip]
    tally = Tally()
    for _ in measure(bench, list(enumerate(first_of_each_group(clips, _CLIPS_PER_GROUP))), tally):
        pass
    start = f"all/clips/{MODEL}/"
    found = dict(results(tally, bench.panel, [contender.name for contender in contenders]))
    return {name.removeprefix(start): value for name, value in found.items() if name.startswith(start)}


def _minutes(folder: Path, config: TokenizerTraining) -> float:
    """Return how long the steps took, an image stage's too, from what the journals say of every `log_every`-th."""
    stage = config.image_stage
    before = 0.0 if stage is None else _minutes(folder / PRETRAINING, stage)
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    seconds = [line["step_s"] for line in lines if "step_s" in line]
    return before + sum(seconds) / len(seconds) * config.num_steps / 60


def _head() -> str:
    names = ["", *_COLUMNS.values(), "minutes"]
    return f"| {' | '.join(names)} |\n|{'---|' * len(names)}\n"


def _row(name: str, scores: dict[str, float]) -> str:
    values = [f"{scores[key]:.4g}" if key in scores else "" for key in (*_COLUMNS, "minutes")]
    return f"| `{name}` | {' | '.join(values)} |\n"


if __name__ == "__main__":
    sys.exit(main())
