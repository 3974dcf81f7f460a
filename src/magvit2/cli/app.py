"""The verbs and what happens around them: parsing, errors, exit codes."""

import contextlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from types import FrameType

from magvit2 import __version__
from magvit2.errors import Magvit2Error

_DESCRIPTION = (
    "Images and videos to discrete tokens and back (MAGVIT-v2). "
    "--version prints the version; any verb takes --debug, which shows the traceback of a failure."
)
_NEEDS_CLI = "the command line needs tyro and rich: pip install 'magvit2[cli]'"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded: threads that wait should sleep
    try:
        try:
            with _unwinding_on_sigterm():
                _run([word for word in words if word != "--debug"])
        finally:
            sys.stdout.flush()  # here, and not at the interpreter's end, a reader that went away can be caught
    except Magvit2Error as error:
        _fail(str(error), debug)
    except KeyboardInterrupt as error:
        _fail(str(error) or "interrupted", debug, code=143 if isinstance(error, _Terminated) else 130)
    except BrokenPipeError:
        _close_output()
    except Exception as error:
        _fail(f"unexpected {type(error).__name__}: {error} (run again with --debug for the traceback)", debug)


class _Terminated(KeyboardInterrupt):
    """A SIGTERM: it unwinds like Ctrl-C, so that unfinished files are removed."""


@contextlib.contextmanager
def _unwinding_on_sigterm() -> Iterator[None]:
    """Turn a SIGTERM into an exception; in the main thread, as Python takes signals nowhere else."""

    def unwind(number: int, frame: FrameType | None) -> None:
        raise _Terminated("terminated")

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, unwind)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _run(words: list[str]) -> None:
    if words == ["--version"]:
        print(f"magvit2 {__version__}")  # noqa: T201
        return
    try:
        import rich  # noqa: F401
        from tyro.conf import DisallowNone, FlagCreatePairsOff
        from tyro.extras import SubcommandApp
    except ImportError as error:
        raise Magvit2Error(_NEEDS_CLI) from error
    from magvit2.cli import benchmark, demo, evaluate, export, generate, info, media, pack, tokenize, train

    app = SubcommandApp()
    app.command(demo.demo)
    app.command(info.info)
    app.command(media.reconstruct)
    app.command(media.encode)
    app.command(media.decode)
    app.command(pack.pack)
    app.command(tokenize.tokenize)
    app.command(generate.generate)
    app.command(generate.predict)
    training, evaluation, benchmarks, exports = SubcommandApp(), SubcommandApp(), SubcommandApp(), SubcommandApp()
    training.command(train.tokenizer)
    training.command(train.lm)
    evaluation.command(evaluate.reconstruction)
    evaluation.command(evaluate.generation)
    benchmarks.command(benchmark.lfq)
    benchmarks.command(benchmark.tokenizer)
    benchmarks.command(benchmark.streaming)
    benchmarks.command(benchmark.tiling)
    benchmarks.command(benchmark.training)
    benchmarks.command(benchmark.sampling)
    exports.command(export.llama)
    app.command(training, name="train", help="Train a model from a recipe; resumable.")
    app.command(evaluation, name="evaluate", help="Measure a model on a source of data, or samples against one.")
    app.command(benchmarks, name="benchmark", help="Measure speed and memory as ratios within one run.")
    app.command(exports, name="export", help="Write a model in another library's format.")
    style = (DisallowNone, FlagCreatePairsOff)  # no {None}|INT, no --no-json
    app.cli(prog="magvit2", description=_DESCRIPTION, args=words or ["--help"], config=style)


def _fail(message: str, debug: bool, code: int = 1) -> None:
    if debug:
        traceback.print_exc()
    with contextlib.suppress(BrokenPipeError):
        print(f"magvit2: {' '.join(message.split())}", file=sys.stderr)  # noqa: T201
    sys.exit(code)


def _close_output() -> None:
    """The reader of our output went away (`| head`): end quietly, as other tools do."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(1)
