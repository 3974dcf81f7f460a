"""The benchmarks at tiny settings, as functions and as verbs: what they report, and that ratios are ratios.

No time is expected to be anything: another process may have the machine.
"""

import json
import subprocess
import sys
from typing import Any

import pytest
import torch

from magvit2.benchmarks import rivals
from magvit2.benchmarks.lfq import DENSE, OURS, RIVAL, benchmark_lfq, dense_entropy, measure_exactness
from magvit2.benchmarks.measure import NotMeasuredError, Setup
from magvit2.benchmarks.streaming import latency, measure_memory, measure_speed
from magvit2.benchmarks.tokenizer import PAPER, benchmark_tokenizer, measure_model, random_clips
from magvit2.quantizers import lfq_entropy
from magvit2.tokenizer import audit, tokenizer_preset
from magvit2.tokenizer.audit import clip_mflop
from tests.cli.running import done, run
from tests.tiny import save_tiny, tiny_tokenizer

QUICK = Setup(threads=1, repeats=1)
WORDS = ("--threads", "1", "--repeats", "1", "--json")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a tiny tokenizer."""
    return str(save_tiny(tmp_path_factory.mktemp("model") / "tiny"))


def reported(*words: object) -> dict[str, Any]:
    """What `magvit2 benchmark WORDS --json` prints."""
    found: dict[str, Any] = json.loads(done("benchmark", *words, *WORDS))
    assert list(found)[:2] == ["benchmark", "machine"]
    assert found["machine"]["threads"] == found["machine"]["repeats"] == 1
    return found


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """What would be measured in fresh processes is measured in this one."""
    for name in ("lfq", "tokenizer", "streaming"):
        module = f"magvit2.benchmarks.{name}.in_fresh_process"
        monkeypatch.setattr(module, lambda function, setup, **arguments: function(setup, **arguments))


def test_lfq_reports_exactness_and_every_contender_in_ratios_over_ours() -> None:
    found = reported("lfq", "--tokens", 8, "--bits", 6)
    assert [row["contender"] for row in found["cost"]] == [OURS, DENSE] + [RIVAL] * (not found["notes"])
    assert [row["computed_in"] for row in found["exactness"]] == ["float32", "float64"]
    ours = found["cost"][0]
    for row in found["cost"]:
        assert row["tokens"] == 8
        assert row["x_time"] == row["median_ms"] / ours["median_ms"]
        assert row["x_memory"] == row["extra_mb"] / ours["extra_mb"]


def test_lfq_is_exact_in_what_it_reports() -> None:
    single, double = measure_exactness(QUICK, num_bits=6)["rows"]
    names = ("sample_error", "batch_error", "gradient_error")
    assert all(0 <= double[name] < 1e-10 for name in names)
    assert all(double[name] <= single[name] < 1e-3 for name in names)


def test_the_definition_is_what_ours_computes(generator: torch.Generator) -> None:
    latents = 0.01 * torch.randn(5, 7, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(torch.stack(dense_entropy(latents)), torch.stack(tuple(lfq_entropy(latents))))


@pytest.mark.usefixtures("here")
def test_a_rival_that_is_not_there_is_a_line_and_not_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vector_quantize_pytorch", None)
    made = benchmark_lfq(QUICK, [8, 16], num_bits=4)
    assert made.notes == [f"{RIVAL}: not measured: pip install vector-quantize-pytorch"]
    assert [(row["contender"], row["tokens"]) for row in made.tables["cost"]] == [
        (OURS, 8),
        (DENSE, 8),
        (OURS, 16),
        (DENSE, 16),
    ]


@pytest.mark.parametrize(
    ("error", "reason"),
    [(ImportError("no"), "pip install magvit2-pytorch"), (RuntimeError("nms"), "cannot be imported: nms")],
)
def test_a_rival_that_cannot_be_imported(monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str) -> None:
    def refuse(name: str, *_: object) -> object:
        raise error

    monkeypatch.setattr("builtins.__import__", refuse)
    try:
        with pytest.raises(NotMeasuredError) as caught:
            rivals.magvit2_pytorch_tokenizer(32)
    finally:
        monkeypatch.undo()
    assert reason in str(caught.value)


def test_tokenizer_reports_speed_share_and_memory(model: str) -> None:
    found = reported("tokenizer", model, "--frames", 5, "--sides", 16, "--dtype", "bf16")
    row = found["speed"][0]
    assert (row["model"], row["dtype"], row["clips"]) == (model, "bf16", "1 x 5x16x16")
    assert row["peak_mb"] > 10
    pixels = 5 * 16 * 16
    for verb in ("encode", "decode"):
        gflop_per_s = row[f"{verb}_fps"] / 5 * pixels * row[f"{verb}_mflop_per_pixel"] / 1e3
        assert row[f"{verb}_share"] == pytest.approx(gflop_per_s / row["matmul_tflop_per_s"] / 1e3)


def test_tokenizer_puts_the_rival_beside_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {
        "measure_model": {"model": "ours", "encode_fps": 8.0, "decode_fps": 6.0},
        "measure_rival": {"model": "theirs", "encode_fps": 2.0, "decode_fps": 3.0},
    }
    monkeypatch.setattr(
        "magvit2.benchmarks.tokenizer.in_fresh_process", lambda function, *_, **__: dict(rows[function.__name__])
    )
    ours, theirs = benchmark_tokenizer(QUICK, dtypes=["fp32"], sides=[16]).tables["speed"]
    assert (ours["x_encode_time"], ours["x_decode_time"]) == (1, 1)
    assert (theirs["x_encode_time"], theirs["x_decode_time"]) == (4, 2)


def test_the_paper_s_models_stand_beside_what_was_published(monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(function: object, setup: Setup, **case: Any) -> dict[str, Any]:
        assert (case["dtype"], case["size"]) == ("bf16", (17, 360, 480))
        return {"model": case["model"]}

    monkeypatch.setattr("magvit2.benchmarks.tokenizer.in_fresh_process", measured)
    rows = benchmark_tokenizer(QUICK, dtypes=[], with_paper=True).tables["paper"]
    assert [row["model"] for row in rows] == list(PAPER)
    for row in rows:
        for verb in ("encode", "decode"):
            assert row[f"{verb}_long_clip_mflop_per_pixel"] == pytest.approx(row[f"{verb}_published"], rel=0.03)


def test_presets_have_random_weights() -> None:
    assert measure_model(QUICK, "tiny", "fp32", 1, [1, 8, 8])["model"] == "tiny"


@pytest.mark.parametrize(("size", "filled"), [((17, 16, 24), (17, 16, 24)), ((6, 10, 17), (9, 16, 24))])
def test_the_work_is_that_of_the_frames_that_are_encoded(
    size: tuple[int, int, int], filled: tuple[int, int, int]
) -> None:
    config = tokenizer_preset("tiny")
    assert clip_mflop(config, size) == clip_mflop(config, filled)


def test_frame_0_makes_a_clip_dearer_than_a_long_clip_s_rate() -> None:
    config = tokenizer_preset("tiny")
    encode, decode = (mflop / (17 * 32 * 32) for mflop in clip_mflop(config, (17, 32, 32)))
    costs = audit(config)
    assert encode > costs.encoder_mflop_per_pixel
    assert decode > costs.decoder_mflop_per_pixel


def test_streaming_reports_speed_equality_latency_and_memory(model: str) -> None:
    found = reported("streaming", model, "--frames", 9, 17, "--side", 16, "--dtype", "fp32")
    speed, *_ = found["speed"]
    assert (speed["ids_equal"], speed["max_abs_difference"], speed["latency_frames"]) == (True, 0.0, 4)
    for verb in ("encode", "decode"):
        assert speed[f"{verb}_stream_ratio"] == speed[f"{verb}_stream_fps"] / speed[f"{verb}_fps"]
    assert [row["frames"] for row in found["memory"]] == [9, 17]
    for row in found["memory"]:
        assert row["x_peak"] == row["peak_mb"] / found["memory"][0]["peak_mb"]


def test_streaming_measures_frames_that_do_not_fill_their_last_group(model: str) -> None:
    assert measure_speed(QUICK, model, "fp32", 7, 12)["ids_equal"] is True
    assert measure_memory(QUICK, model, "fp32", 7, 12)["frames"] == 7


def test_latency_is_the_longest_wait_for_ids() -> None:
    tokenizer = tiny_tokenizer()
    assert latency(tokenizer, random_clips(1, (9, 8, 8), torch.device("cpu"))[0]) == 4
    assert latency(tokenizer, random_clips(1, (1, 8, 8), torch.device("cpu"))[0]) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("lfq", "--tokens", "0"), "--tokens 0: expected 1 or more"),
        (("lfq", "--repeats", "0"), "--repeats 0: expected 1 or more"),
        (("tokenizer", "--sides", "128", "0"), "--sides 0: expected 1 or more"),
        (("streaming", "--threads", "0"), "--threads 0: expected 1 or more"),
        (("streaming", "--device", "abacus"), "--device abacus: there is no such device"),
        (("tokenizer", "no-such-model", "--frames", "1"), "no-such-model"),
    ],
)
def test_wrong_values_are_one_line(words: tuple[str, ...], message: str) -> None:
    assert message in run("benchmark", *words).line


@pytest.mark.parametrize("name", ["lfq", "tokenizer", "streaming"])
def test_a_module_runs_without_the_command_line_s_packages(name: str) -> None:
    script = (
        "import sys; sys.modules |= dict.fromkeys(['av', 'tyro', 'rich', 'torchvision', 'PIL', 'huggingface_hub'])\n"
    )
    script += (
        f"sys.argv[1:] = ['--help']; import runpy; runpy.run_module('magvit2.benchmarks.{name}', run_name='__main__')"
    )
    done_ = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done_.returncode == 0, done_.stderr
    assert f"magvit2 benchmark {name}" in done_.stdout
