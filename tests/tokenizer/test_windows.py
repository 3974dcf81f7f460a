"""Models that are not causal: they work through a clip in independent windows of frames, however it is cut."""

from pathlib import Path

import pytest
import torch

from magvit2.data.tokens import load_tokens, save_tokens
from magvit2.pipelines import decode_tokens, encode_frames, frame_to_u8, reconstruct_frames
from magvit2.tokenizer import TokenizerConfig, tokenizer_preset
from tests.tokenizer.making import WINDOW_CONFIGS, random_clips, random_ids, random_tokenizer

every = pytest.mark.parametrize("config", WINDOW_CONFIGS.values(), ids=WINDOW_CONFIGS)


@every
@pytest.mark.parametrize("num_frames", [1, 3, 4, 7, 8, 9, 12, 16, 21])
def test_every_four_frames_have_a_latent_and_come_back(config: TokenizerConfig, num_frames: int) -> None:
    tokenizer, clips = random_tokenizer(config), random_clips(2, num_frames, 15, 20)
    ids = tokenizer.encode(clips)
    assert ids.shape == (2, -(-num_frames // 4), 2, 3)
    assert tokenizer.decode(ids).shape == (2, 3, 4 * ids.shape[1], 16, 24)
    assert tokenizer.decode(ids, (num_frames, 15, 20)).shape == clips.shape


@every
def test_a_stream_has_the_ids_and_frames_of_the_whole_clip_however_the_ids_are_cut(config: TokenizerConfig) -> None:
    tokenizer = random_tokenizer(config)
    for num_frames in (1, 5, 8, 11, 19):
        clips = random_clips(1, num_frames, 16, 24)
        ids, size = tokenizer.encode(clips), (num_frames, 16, 24)
        streamed = torch.cat(list(tokenizer.encode_stream(clips[0].unbind(dim=1))))
        assert streamed.equal(ids[0])
        whole = tokenizer.decode(ids, size)[0]
        for cut in (1, 2, 3, 100):
            frames = list(tokenizer.decode_stream(ids[0].split(cut), size))
            assert torch.equal(torch.stack(frames, dim=1), whole)


@every
def test_a_window_sees_nothing_of_the_others_but_all_of_itself(config: TokenizerConfig) -> None:
    tokenizer, clips = random_tokenizer(config).double(), random_clips(1, 16, 16, 16, dtype=torch.float64)
    changed = clips.clone()
    changed[:, :, 15] *= -1
    latents, others = (tokenizer.encoder(c[:, :, 8:]) for c in (clips, changed))
    assert tokenizer.encode(changed)[:, :2].equal(tokenizer.encode(clips)[:, :2])
    assert not torch.equal(latents[:, :, 0], others[:, :, 0])  # the window's first latent sees its last frame


@every
def test_decoded_windows_are_independent(config: TokenizerConfig) -> None:
    tokenizer = random_tokenizer(config)
    ids = random_ids(tokenizer, 1, 4, 2, 2)
    whole = tokenizer.decode(ids)
    assert torch.equal(whole[:, :, :8], tokenizer.decode(ids[:, :2]))
    assert torch.equal(whole[:, :, 8:], tokenizer.decode(ids[:, 2:]))


@every
def test_training_sees_a_window_as_encoding_does(config: TokenizerConfig) -> None:
    tokenizer, clips = random_tokenizer(config).double(), random_clips(1, 8, 16, 16, dtype=torch.float64)
    reconstruction = tokenizer(clips)
    assert reconstruction.quantized.ids.equal(tokenizer.encode(clips))
    decoded = tokenizer.decode(tokenizer.encode(clips)).double()
    assert torch.allclose(reconstruction.clips.clamp(-1, 1), decoded, atol=1e-6)


@every
def test_files_and_pipelines_keep_the_number_of_frames(config: TokenizerConfig, tmp_path: Path) -> None:
    tokenizer = random_tokenizer(config)
    frames = [frame_to_u8(frame) for frame in random_clips(1, 11, 13, 22)[0].unbind(dim=1)]
    save_tokens(tmp_path / "clip.safetensors", encode_frames(tokenizer, frames, None))
    tokens = load_tokens(tmp_path / "clip.safetensors")
    assert tokens.space == tokenizer.space and not tokens.space.is_causal
    decoded = list(decode_tokens(tokenizer, tokens))
    assert len(decoded) == 11 and decoded[0].shape == (13, 22, 3)
    pairs = list(reconstruct_frames(tokenizer, frames))
    assert all((pair.decoded == frame).all() for pair, frame in zip(pairs, decoded, strict=True))


def test_the_older_models_have_sixteen_frames_a_window_and_1024_codes() -> None:
    for name in ("magvit1", "vq-vae-3d"):
        config = tokenizer_preset(name)
        assert (config.window, config.space.vocab_size, config.strides) == (16, 1024, (4, 8, 8))
        assert config.space.grid_for((16, 128, 128)) == (4, 16, 16)
