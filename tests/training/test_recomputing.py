"""Layers that are computed again on the way back: the same numbers, less memory, and nothing else changes."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from magvit2.tokenizer import Tokenizer, TokenizerConfig, tokenizer_preset
from magvit2.tokenizer.networks import recompute_activations
from magvit2.training import train_tokenizer
from tests.tokenizer.making import random_clips
from tests.training.making import TINY, make_pictures
from tests.training.stepping import JUDGED, begun, take_steps, weights

AGAIN = dataclasses.replace(JUDGED, checkpoint_activations=True)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_losses_and_weights_are_those_of_a_training_that_keeps_all(precision: str) -> None:
    (state, goal), (again, again_goal) = (begun(dataclasses.replace(c, precision=precision)) for c in (JUDGED, AGAIN))
    kept, computed = take_steps(state, goal, 4), take_steps(again, again_goal, 4)
    assert [report.values for report in computed] == [report.values for report in kept]
    after, found = weights(state), weights(again)
    assert after.keys() == found.keys()
    assert all(torch.equal(found[name], value) for name, value in after.items())


class Watch(TorchDispatchMode):
    """Follows the bytes of all tensors that come into being, and the most that were alive at once.

    Those that are there before, parameters and their gradients, do not count.
    """

    def __init__(self, model: Tokenizer) -> None:
        super().__init__()
        there = [tensor for each in model.parameters() for tensor in (each, each.grad) if tensor is not None]
        self._there = {tensor.untyped_storage()._cdata for tensor in there}
        self._alive: dict[int, tuple[StorageWeakRef, int]] = {}
        self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self._alive = {key: entry for key, entry in self._alive.items() if not entry[0].expired()}
        for x in tree_leaves(result):
            if isinstance(x, Tensor) and (storage := x.untyped_storage())._cdata not in self._there:
                self._alive[storage._cdata] = StorageWeakRef(storage), storage.nbytes()
        self.peak = max(self.peak, sum(size for _, size in self._alive.values()))
        return result


def peak_bytes(model: Tokenizer, clips: Tensor) -> int:
    """The most that a pass there and back held at once."""
    with Watch(model) as watch:
        model(clips).clips.square().mean().backward()
    return watch.peak


_TINY = tokenizer_preset("tiny")
_DEEP = dataclasses.replace(_TINY, num_encoder_blocks=4, num_decoder_blocks=4, num_mid_blocks=4)
_WINDOWS = dataclasses.replace(_TINY, window=4, resampling="plain", norm="clip", adaptive_norm=False)


@pytest.mark.parametrize(("config", "share"), [(_TINY, 0.6), (_DEEP, 0.3), (_WINDOWS, 0.6)])
def test_a_pass_there_and_back_needs_less_memory(config: TokenizerConfig, share: float) -> None:
    model, clips = Tokenizer(config), random_clips(2, 5 if config.is_causal else 4, 32, 32)
    model(clips).clips.mean().backward()  # gradients are there, as after any first step
    before = peak_bytes(model, clips)
    recompute_activations(model)
    assert peak_bytes(model, clips) < share * before


def test_a_model_that_computes_again_encodes_and_streams_as_before() -> None:
    model, clips = Tokenizer(TINY.model).eval(), random_clips(1, 9, 16, 16)
    ids = model.encode(clips)
    frames = model.decode(ids)
    recompute_activations(model)
    assert torch.equal(model.encode(clips), ids)
    assert torch.equal(torch.cat(list(model.encode_stream(clips[0].unbind(1)))), ids[0])
    assert torch.equal(torch.stack(list(model.decode_stream(ids[0].split(1))), dim=1), frames[0])


def test_a_run_may_go_on_with_less_memory(tmp_path: Path) -> None:
    source = make_pictures(tmp_path / "source")
    straight = train_tokenizer(TINY, source, tmp_path / "straight")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("magvit2.training.loop.any_rank", lambda flag, device: True)
        train_tokenizer(TINY, source, tmp_path / "run")
    found = train_tokenizer(dataclasses.replace(TINY, checkpoint_activations=True), source, tmp_path / "run")
    assert Tokenizer.from_pretrained(found).fingerprint == Tokenizer.from_pretrained(straight).fingerprint
