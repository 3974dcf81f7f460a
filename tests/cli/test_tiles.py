"""--tile: verbs that read or write pixels compute them in squares, with the same result; an image keeps no memories."""

import json
from pathlib import Path

import numpy as np
import pytest

from magvit2.data.tokens import load_tokens
from magvit2.layers.memory import Memory
from magvit2.pipelines import decode_tokens, encode_file, reconstruct_file
from magvit2.tokenizer import Tokenizer
from magvit2.video import read_clip, read_image, write_image
from tests.cli.running import done, run, save_clip
from tests.video.making import names, scene

SIZE = (41, 60)
TILE = 16


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_clip(tmp_path_factory.mktemp("clip") / "clip.mkv", scene(6, *SIZE))


def test_encode_and_decode_in_tiles(tmp_path: Path, model: Path, clip: Path) -> None:
    tokenizer = Tokenizer.from_pretrained(model)
    done("encode", clip, tmp_path / "clip.safetensors", "--model", model, "--tile", TILE)
    tokens = load_tokens(tmp_path / "clip.safetensors")
    assert tokens.ids.equal(encode_file(tokenizer, clip).ids)
    done("decode", tmp_path / "clip.safetensors", tmp_path / "frames", "--model", model, "--tile", TILE)
    frames = read_clip(tmp_path / "frames")[0]
    assert np.array_equal(frames, np.stack(list(decode_tokens(tokenizer, tokens, tile=TILE))))
    whole = np.stack(list(decode_tokens(tokenizer, tokens)))
    assert np.abs(frames.astype(int) - whole).max() <= 1  # a rounding to 8 bits may fall on the other side


def test_reconstruct_in_tiles(tmp_path: Path, model: Path, clip: Path) -> None:
    done("reconstruct", clip, tmp_path / "out", "--model", model, "--tile", TILE, "--no-side-by-side")
    pairs = reconstruct_file(Tokenizer.from_pretrained(model), clip, tile=TILE)
    assert np.array_equal(read_clip(tmp_path / "out")[0], np.stack([pair.decoded for pair in pairs]))


def test_the_demo_in_tiles(tmp_path: Path, model: Path, clip: Path) -> None:
    for name, words in (("whole", ()), ("tiled", ("--tile", TILE))):
        done("demo", clip, "--out", tmp_path / name, "--model", model, *words)
    whole, tiled = (json.loads((tmp_path / name / "report.json").read_text()) for name in ("whole", "tiled"))
    psnr = "PSNR, mean over frames (dB)"
    assert tiled[psnr] == pytest.approx(whole[psnr], abs=1e-3)
    assert names(tmp_path / "tiled") == names(tmp_path / "whole")


@pytest.mark.parametrize("words", [(), ("--tile", TILE)], ids=["whole", "tiled"])
def test_an_image_leaves_nothing_behind_for_a_next_frame(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[object, ...]
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("an image's activations are kept")

    write_image(tmp_path / "photo.png", scene(1, *SIZE)[0])
    options = ("--model", model, *words)
    with monkeypatch.context() as patch:
        patch.setattr(Memory, "put", refuse)
        done("reconstruct", tmp_path / "photo.png", tmp_path / "out.png", *options)
        done("encode", tmp_path / "photo.png", tmp_path / "photo.safetensors", *options)
        done("decode", tmp_path / "photo.safetensors", tmp_path / "again.png", *options)
        done("demo", tmp_path / "photo.png", "--out", tmp_path / "demo", *options)
    assert np.array_equal(read_image(tmp_path / "again.png"), read_image(tmp_path / "out.png")[:, SIZE[1] + 4 :])


@pytest.mark.parametrize("tile", [0, -8, 12])
@pytest.mark.parametrize("verb", ["reconstruct", "encode", "demo"])
def test_a_tile_that_does_not_fill_latents_is_one_line(
    tmp_path: Path, model: Path, clip: Path, verb: str, tile: int
) -> None:
    target = {"reconstruct": ("out.mkv",), "encode": ("out.safetensors",), "demo": ("--out", "out")}[verb]
    words = [tmp_path / word if word.startswith("out") else word for word in target]
    line = run(verb, clip, *words, "--model", model, "--tile", tile).line
    assert f"tile = {tile}: expected a multiple of 8 pixels" in line
    assert names(tmp_path) == []


def test_info_says_how_long_an_id_takes_and_where_decoding_may_begin() -> None:
    facts = json.loads(done("info", "small", "--json"))
    assert facts["latency (frames)"] == 4
    assert facts["latency at 25 frames/s (ms)"] == 160
    assert facts["latency at 30 frames/s (ms)"] == pytest.approx(133.33, abs=0.01)
    assert (facts["pre-roll (latent frames)"], facts["pre-roll (frames)"]) == (14, 56)
    assert facts["tiles"] == "exact"
    facts = json.loads(done("info", "magvit1", "--json"))
    assert (facts["latency (frames)"], facts["pre-roll (frames)"]) == (16, 0)
    assert facts["tiles"].startswith("blended")
