"""The command line as one first meets it: help, version, wrong usage, and what happens when something fails."""

import re

import pytest

import magvit2
from magvit2.cli import media
from magvit2.errors import InputError
from tests.cli.running import done, run

VERBS = [
    ("demo",),
    ("info",),
    ("reconstruct",),
    ("encode",),
    ("decode",),
    ("pack",),
    ("tokenize",),
    ("generate",),
    ("predict",),
    ("train",),
    ("train", "tokenizer"),
    ("train", "lm"),
    ("evaluate",),
    ("evaluate", "reconstruction"),
    ("evaluate", "generation"),
    ("benchmark",),
    ("benchmark", "lfq"),
    ("benchmark", "tokenizer"),
    ("benchmark", "streaming"),
    ("benchmark", "tiling"),
    ("benchmark", "training"),
    ("benchmark", "sampling"),
    ("export",),
    ("export", "llama"),
]
RUN_A_MODEL = [
    ("demo",),
    ("reconstruct",),
    ("encode",),
    ("decode",),
    ("tokenize",),
    ("generate",),
    ("predict",),
    ("evaluate", "reconstruction"),
]


def listed(text: str) -> list[str]:
    """The verbs in a help text, each behind a bullet."""
    return re.findall(r"• (\S+)", text)


@pytest.mark.parametrize("words", [(), ("--help",), ("-h",)])
def test_help_lists_the_verbs_that_work_and_no_others(words: tuple[str, ...]) -> None:
    text = done(*words)
    assert text.startswith("usage: magvit2 ")
    assert listed(text) == list(dict.fromkeys(verb[0] for verb in VERBS))
    assert "--debug" in text
    assert "--version" in text


@pytest.mark.parametrize(
    ("family", "verbs"),
    [
        ("train", ["tokenizer", "lm"]),
        ("evaluate", ["reconstruction", "generation"]),
        ("benchmark", ["lfq", "tokenizer", "streaming", "tiling", "training", "sampling"]),
        ("export", ["llama"]),
    ],
)
def test_a_family_s_help_lists_its_verbs(family: str, verbs: list[str]) -> None:
    assert listed(done(family, "--help")) == verbs


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_every_verb_explains_itself_and_each_of_its_options(verb: tuple[str, ...]) -> None:
    text = done(*verb, "--help")
    assert text.startswith(f"usage: magvit2 {' '.join(verb)} ")
    assert len(text.splitlines()[2]) > 20  # a sentence about the verb
    assert not re.search(r"options options|None|--no-json|\b(STR|PATH|INT)\b(?!=)", text)
    words = re.sub(r"\s+", " ", text)
    for option, explanation in re.findall(r" (--[a-z-]+) [A-Z{][^ ]* (\S+ \S+)", words):
        assert not explanation.startswith(("(", "--")), f"{option} is not explained"


@pytest.mark.parametrize("verb", RUN_A_MODEL, ids=" ".join)
def test_what_runs_a_model_takes_the_model_and_where_it_runs(verb: tuple[str, ...]) -> None:
    text = done(*verb, "--help")
    model = "] MODEL DATA" if verb[0] == "evaluate" else "--model MODEL"
    for option in (model, "--device DEVICE", "--dtype {fp32,bf16}", "--threads N", "--json"):
        assert option in text


def test_the_version() -> None:
    assert done("--version") == f"magvit2 {magvit2.__version__}\n"


@pytest.mark.parametrize(
    "words",
    [
        ("juggle",),
        ("encode",),
        ("encode", "clip.mp4"),
        ("encode", "clip.mp4", "clip.safetensors", "--tempo", "fast"),
        ("encode", "clip.mp4", "clip.safetensors", "more"),
        ("encode", "clip.mp4", "clip.safetensors", "--dtype", "fp64"),
        ("encode", "clip.mp4", "clip.safetensors", "--threads", "many"),
        ("decode", "clip.safetensors", "clip.mp4", "--num-bits", "all"),
        ("train",),
        ("train", "singer"),
        ("train", "tokenizer", "cpu", "--out", "run"),
        ("evaluate", "reconstruction"),
        ("evaluate", "reconstruction", "--data", ".", "--split", "best"),
        ("info", "a", "b"),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_explained_and_ends_with_2(words: tuple[str, ...]) -> None:
    result = run(*words)
    assert result.code == 2
    assert result.out == ""
    assert "--help" in result.err
    assert "Traceback" not in result.err


def test_debug_shows_the_traceback_above_the_line(tmp_path: object) -> None:
    quiet = run("info", f"{tmp_path}/missing.mp4")
    loud = run("info", f"{tmp_path}/missing.mp4", "--debug")
    assert loud.code == quiet.code == 1
    assert loud.err.startswith("Traceback (most recent call last):")
    assert "MediaError" in loud.err
    assert loud.err.endswith(quiet.err)
    assert "Traceback" not in quiet.err


def test_debug_may_stand_anywhere() -> None:
    assert run("--debug", "info", "missing.mp4").err == run("info", "missing.mp4", "--debug").err
    assert done("--debug", "--version") == done("--version")


def failing(error: BaseException, monkeypatch: pytest.MonkeyPatch, *words: str) -> tuple[int, str, str]:
    """What `decode` leaves behind when checking its input raises `error`."""

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(media, "check_token_file", fail)
    result = run("decode", "a.safetensors", "b.mp4", *words)
    return result.code, result.out, result.err


def test_a_message_of_several_lines_becomes_one(monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, err = failing(InputError("one\n  two\n\nthree"), monkeypatch)
    assert (code, out, err) == (1, "", "magvit2: one two three\n")


def test_a_surprise_is_one_line_that_names_it_and_debug(monkeypatch: pytest.MonkeyPatch) -> None:
    code, _, err = failing(ZeroDivisionError("by\nzero"), monkeypatch)
    assert code == 1
    assert err == "magvit2: unexpected ZeroDivisionError: by zero (run again with --debug for the traceback)\n"
    assert "Traceback" in failing(ZeroDivisionError(), monkeypatch, "--debug")[2]


def test_an_interrupt_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    assert failing(KeyboardInterrupt(), monkeypatch) == (130, "", "magvit2: interrupted\n")
