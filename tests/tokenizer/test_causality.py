"""No latent knows a later frame, and no frame a later latent; every parameter is random, so none hides a leak."""

import pytest
import torch
from torch import Tensor

from magvit2.tokenizer import TokenizerConfig
from tests.tokenizer.making import ALL_CONFIGS, IMAGES, VIDEO_CONFIGS, random_clips, random_ids, random_tokenizer

videos = pytest.mark.parametrize("config", VIDEO_CONFIGS.values(), ids=VIDEO_CONFIGS)
NUM_FRAMES, NUM_LATENTS = 9, 3


def latent_of(frame: int) -> int:
    return 0 if frame == 0 else 1 + (frame - 1) // 4


def first_frame_of(latent: int) -> int:
    return 0 if latent == 0 else 1 + 4 * (latent - 1)


def differs(a: Tensor, b: Tensor) -> list[bool]:
    """Whether two [b, c, T, H, W] differ, frame by frame."""
    return (a != b).any(dim=4).any(dim=3).any(dim=1)[0].tolist()


@videos
def test_a_changed_frame_changes_its_latent_and_none_before(config: TokenizerConfig) -> None:
    tokenizer, clips = random_tokenizer(config), random_clips(1, NUM_FRAMES, 16, 24)
    with torch.no_grad():
        before = tokenizer.encoder(clips)
        for frame in range(NUM_FRAMES):
            changed = clips.clone()
            changed[:, :, frame] = random_clips(1, 1, 16, 24, seed=9)[:, :, 0]
            latents = differs(tokenizer.encoder(changed), before)
            own = latent_of(frame)
            assert latents[:own] == [False] * own and latents[own]


@videos
def test_a_changed_frame_changes_no_earlier_id_and_no_earlier_decoded_frame(config: TokenizerConfig) -> None:
    tokenizer, clips = random_tokenizer(config), random_clips(1, NUM_FRAMES, 16, 24)
    ids = tokenizer.encode(clips)
    with torch.no_grad():
        whole = tokenizer(clips).clips
    reached = set()
    for frame in range(NUM_FRAMES):
        changed = clips.clone()
        changed[:, :, frame:] = random_clips(1, NUM_FRAMES - frame, 16, 24, seed=9)
        own = latent_of(frame)
        others = tokenizer.encode(changed)
        assert torch.equal(others[:, :own], ids[:, :own])
        if not torch.equal(others[:, own], ids[:, own]):
            reached.add(own)
        with torch.no_grad():
            assert not any(differs(tokenizer(changed).clips, whole)[: first_frame_of(own)])
    assert reached == set(range(NUM_LATENTS))  # the same change does reach the ids of its own latent


@videos
def test_a_changed_latent_changes_its_frames_and_none_before(config: TokenizerConfig) -> None:
    tokenizer = random_tokenizer(config)
    ids = random_ids(tokenizer, 1, NUM_LATENTS, 2, 3)
    decoded = tokenizer.decode(ids)
    for latent in range(NUM_LATENTS):
        changed = ids.clone()
        changed[:, latent] = random_ids(tokenizer, 1, 2, 3, seed=9)
        frames = differs(tokenizer.decode(changed), decoded)
        first = first_frame_of(latent)
        assert frames[:first] == [False] * first
        assert all(frames[first : first_frame_of(latent + 1)])


def test_an_image_model_treats_every_frame_by_itself() -> None:
    tokenizer, clips = random_tokenizer(IMAGES), random_clips(1, 4, 8, 12)
    ids = tokenizer.encode(clips)
    decoded = tokenizer.decode(ids)
    assert ids.shape == (1, 4, 2, 3) and decoded.shape == clips.shape
    for frame in range(4):
        alone = tokenizer.encode(clips[:, :, frame : frame + 1])
        assert torch.equal(alone, ids[:, frame : frame + 1])
        assert torch.equal(tokenizer.decode(alone), decoded[:, :, frame : frame + 1])
        with torch.no_grad():
            changed = clips.clone()
            changed[:, :, frame] = random_clips(1, 1, 8, 12, seed=9)[:, :, 0]
            latents = differs(tokenizer.encoder(changed), tokenizer.encoder(clips))
        assert latents == [other == frame for other in range(4)]


@pytest.mark.parametrize("config", ALL_CONFIGS.values(), ids=ALL_CONFIGS)
def test_clips_of_a_batch_do_not_see_each_other(config: TokenizerConfig) -> None:
    tokenizer, clips = random_tokenizer(config), random_clips(2, 5, 16, 16)
    other = torch.cat([clips[:1], random_clips(1, 5, 16, 16, seed=9)])
    with torch.no_grad():
        ours, theirs = tokenizer(clips).clips, tokenizer(other).clips
    assert torch.equal(ours[0], theirs[0]) and not torch.equal(ours[1], theirs[1])
