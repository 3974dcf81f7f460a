"""A recipe within a time limit, with few packages: what one runs on a rented GPU.

    python -m magvit2.recipes.run h200 --data PACK --out runs/h200 --device cuda --time-limit 540 --export OUT
    python -m magvit2.recipes.run lm-h200 --data TOKENS --out runs/lm --device cuda --time-limit 540 --export OUT

It needs torch, numpy, einops, jaxtyping, safetensors, rich and pillow, for token shards pyarrow; no video decoder, no
command line's packages. Data come from `magvit2 pack`, or from `magvit2 tokenize`. It saves and stops by itself before
`--time-limit` seconds have passed since the process began, and the same command goes on exactly; exit codes are those
of `magvit2`, 0 both for a run that is finished and for one that was stopped by the limit: the table that it prints, and
`report.json` in OUT, say which.
"""

import argparse
import contextlib
import json
import platform
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch

from magvit2 import __version__
from magvit2.data.pack import PACK_NAME
from magvit2.errors import InputError, Magvit2Error
from magvit2.recipes.language import LANGUAGE_RECIPES, language_recipe
from magvit2.recipes.tokenizer import tokenizer_recipe
from magvit2.runtime import tune
from magvit2.schema import with_settings
from magvit2.training import LanguageTraining, TokenizerTraining, train_language, train_tokenizer
from magvit2.training.distributed import speaks
from magvit2.training.export import check_exportable, export_run
from magvit2.training.limit import TimeLimit, process_age_s
from magvit2.training.status import RunStatus, read_status

_EXPORT_EVERY_S = 120.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 0 done or stopped by the limit, 1 failed, 130 interrupted."""
    started_s = time.time() - process_age_s()
    given = _parser().parse_args(arguments)
    try:
        _run(given, started_s)
    except KeyboardInterrupt as error:
        return _fail(str(error) or "interrupted", 130)
    except Magvit2Error as error:
        return _fail(str(error), 1)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m magvit2.recipes.run", description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "recipe", metavar="RECIPE", help="a recipe's name, or a JSON file such as a run's training.json"
    )
    parser.add_argument("--data", type=Path, required=True, help="a pack, or any other source")
    parser.add_argument("--out", type=Path, required=True, help="the run's folder")
    parser.add_argument("--time-limit", type=float, metavar="SECONDS", help="wall time from the process's start")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, ... (default: cpu)")
    parser.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="PATH=VALUE", help="settings to change"
    )
    parser.add_argument(
        "--export", type=Path, metavar="DIR", help="small files to take home: bf16 model, journal, report"
    )
    parser.add_argument("--nets", type=Path, metavar="DIR", help="folder of the perceptual loss's network")
    parser.add_argument("--workers", type=int, metavar="N", help="processes that read data (default: the recipe's)")
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: PyTorch's choice)")
    return parser


def _run(given: argparse.Namespace, started_s: float) -> None:
    limit = TimeLimit(given.time_limit, time.time() - started_s)
    config = with_settings(_recipe(given.recipe), given.set)
    if given.workers is not None:
        config = with_settings(config, [f"num_workers={given.workers}"])
    tune(given.threads)
    _prepare(given.device)
    exports = given.export is not None and speaks()
    with _Exporter(given, config) if exports else contextlib.nullcontext() as exporter:
        if isinstance(config, LanguageTraining):
            train_language(config, given.data, given.out, given.device, limit, exporter)
        else:
            train_tokenizer(config, given.data, given.out, given.device, limit, exporter, nets=given.nets)
    if speaks():
        sys.stdout.write(_table(read_status(given.out), given, time.time() - started_s))


def _recipe(name: str) -> TokenizerTraining | LanguageTraining:
    """Return a recipe of either kind by its name, or from a JSON file. Raises ConfigError."""
    is_language = name in LANGUAGE_RECIPES
    if name.endswith(".json") and Path(name).is_file():
        is_language = '"transformer"' in Path(name).read_text(encoding="utf-8")
    return language_recipe(name) if is_language else tokenizer_recipe(name)


def _prepare(device: str) -> None:
    """Make sure that a device computes, and let a GPU choose its fastest convolutions. Raises InputError."""
    try:
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"--device {device}: cannot be used here ({reason}); expected cpu, cuda, cuda:1, ..."
        ) from error
    if torch.device(device).type == "cuda":
        torch.backends.cudnn.benchmark = True  # a run has a few shapes, and each comes thousands of times
        torch.set_float32_matmul_precision("high")


class _Exporter:
    """Called after each save of a run, it exports, but not more often than every two minutes, and at the block's end.

    After a failure that is only done for what was saved since the last time.
    """

    def __init__(self, given: argparse.Namespace, config: TokenizerTraining | LanguageTraining) -> None:
        if isinstance(config, TokenizerTraining):
            check_exportable(config.model)
        self._run, self._target = given.out, given.export
        self._facts = _facts(given)
        self._last_s = time.monotonic()
        self._is_due = False

    def __call__(self) -> None:
        self._is_due = True
        if time.monotonic() - self._last_s >= _EXPORT_EVERY_S:
            self._write()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_due or kind is None:
            self._write()

    def _write(self) -> None:
        export_run(self._run, self._target, self._facts)
        self._last_s, self._is_due = time.monotonic(), False


def _facts(given: argparse.Namespace) -> dict[str, Any]:
    """Return what made the run, as JSON values."""
    is_cuda = torch.device(given.device).type == "cuda"
    pack = given.data / PACK_NAME
    return {
        "recipe": given.recipe,
        "settings": given.set,
        "data": given.data.name,
        "shards": json.loads(pack.read_text(encoding="utf-8"))["shards"] if pack.is_file() else [],
        "device": torch.cuda.get_device_name(given.device) if is_cuda else f"{platform.machine()} CPU",
        "software": f"magvit2 {__version__}, Python {platform.python_version()}, torch {torch.__version__}",
    }


def _table(status: RunStatus, given: argparse.Namespace, wall_s: float) -> str:
    limit = "" if given.time_limit is None else f" of {given.time_limit:g}"
    rows = {
        "run": "finished" if status.is_finished else "stopped by the time limit: the same command goes on",
        "steps": f"{status.num_done:,} of {status.num_steps:,}",
        "loss": f"{status.loss:.4f}, {_scored(status.score, status)} (training batches, mean of the last logged)",
        "best": _best(status),
        "time": f"{status.step_s:.3f} s a step; this process {wall_s:.0f}{limit} s",
        "saved": f"{given.out}" + ("" if given.export is None else f", export {given.export}"),
    }
    return "".join(f"{name:<6} {value}\n" for name, value in rows.items())


def _best(status: RunStatus) -> str:
    if not status.best_step:
        return "no validation yet"
    return f"{_scored(status.best_score, status)} on held-out items, after {status.best_step:,} steps"


def _scored(score: float, status: RunStatus) -> str:
    return f"PSNR {score:.2f} dB" if status.metric == "psnr" else f"{score:.3f} bits a token"


def _fail(message: str, code: int) -> int:
    sys.stderr.write(f"magvit2: {' '.join(message.split())}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
