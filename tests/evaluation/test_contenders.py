"""Contenders: names that are known, bits that are counted, clips of several shapes in one call."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from magvit2.errors import InputError, ModelNotFoundError
from magvit2.evaluation.contenders import Contender, TokenizerContender, open_contenders, short_name
from magvit2.evaluation.floor import bicubic_floor
from magvit2.pipelines import encode_frames, reconstruct_frames
from magvit2.tokenizer import Tokenizer
from tests.evaluation.making import SPACE
from tests.tiny import tiny_tokenizer
from tests.video.making import scene

FPS = Fraction(25)


def load(name: str) -> Tokenizer:
    if "tiny" not in name:
        raise ModelNotFoundError(f"no tokenizer called {name}")
    return tiny_tokenizer(len(name))


def named(*compare: str) -> dict[str, Contender]:
    found = open_contenders("tiny", compare, load)
    return {contender.name: contender for contender in found}


def test_a_tokenizer_gives_the_frames_and_ids_of_the_product_for_clips_of_any_shapes() -> None:
    tokenizer = tiny_tokenizer()
    clips = [scene(5, 16, 24), scene(1, 9, 9), scene(5, 16, 24)[::-1].copy(), scene(6, 16, 24)]
    outcomes = TokenizerContender("tiny", tokenizer).code(clips, [FPS] * 4)
    for clip, outcome in zip(clips, outcomes, strict=True):
        decoded = np.stack([pair.decoded for pair in reconstruct_frames(tokenizer, clip)])
        assert np.array_equal(outcome.frames, decoded)
        assert outcome.ids is not None
        assert outcome.ids.equal(encode_frames(tokenizer, clip, FPS).ids)
        assert outcome.num_bits == outcome.ids.numel() * 6


def test_the_model_comes_first_and_the_floor_is_always_there() -> None:
    assert list(named()) == ["tiny", "bicubic"]
    assert list(named("bicubic", "x264@0.1", "bicubic")) == ["tiny", "bicubic", "x264@0.1"]
    assert list(named("tiny", "bicubic")) == ["tiny", "bicubic"]  # itself, named again
    assert list(named("runs/tiny", "runs/tiny-b/model", "identity")) == [
        "tiny", "tiny-2", "tiny-b", "identity", "bicubic",
    ]  # fmt: skip


def test_the_floor_is_that_of_the_model_s_grid() -> None:
    clip = scene(5, 17, 24)
    (outcome,) = named()["bicubic"].code([clip], [FPS])
    assert np.array_equal(outcome.frames, bicubic_floor(clip, SPACE))
    assert outcome.num_bits == 24 * 2 * 3 * 3


def test_a_codec_at_the_same_rate_spends_what_the_model_spends_on_each_clip() -> None:
    contender = named("jpeg@same")["jpeg@same"]
    assert "raw bits per pixel of tiny" in contender.protocol
    rng = np.random.default_rng(0)
    clips = [rng.integers(0, 256, (1, side, side, 3), np.uint8) for side in (64, 128)]
    assert contender.code(clips[:1], [FPS])[0].frames.shape == clips[0].shape
    small, large = contender.code(clips, [FPS] * 2)
    assert 0 < small.num_bits < large.num_bits


def test_the_identity_costs_24_bits_a_pixel_and_loses_nothing() -> None:
    clip = scene(2, 8, 8)
    (outcome,) = named("identity")["identity"].code([clip], [FPS])
    assert np.array_equal(outcome.frames, clip)
    assert outcome.num_bits == 24 * clip.size / 3


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("h264", "baseline 'h264' is not known; expected one of x264.*or a model .*no tokenizer called h264"),
        ("x264", "'x264' is not known"),
        ("h264@same", "baseline 'h264@same' is not known"),
        ("x264@fast", "baseline 'x264@fast' is not known"),
        ("jpeg@q900", "expected q from"),
    ],
)
def test_a_name_that_is_neither_is_refused_with_those_that_are_known(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        named(name)


@pytest.mark.parametrize(
    ("model", "name"),
    [("default", "default"), ("/a/b/clip", "clip"), ("runs/best/model", "best"), ("me/thing", "thing"), (".", "model")],
)
def test_names_are_short(model: str, name: str) -> None:
    assert short_name(model) == name
    assert Path(name).name == name
