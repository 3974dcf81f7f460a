"""From a class, or from a part of a clip, to a new clip: ids are sampled, then decoded.

The one place where language models and the tokenizer meet to make something; `magvit2 generate`, `predict` and the demo
call it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Int, UInt8
from torch import Tensor

from magvit2.data.conditions import given_pixels, padded
from magvit2.data.frames import Frames, to_frames
from magvit2.errors import InputError
from magvit2.geometry import Size
from magvit2.lm import CausalLM, LMConfig, MaskedLM
from magvit2.lm.masking import Condition, Task
from magvit2.registry import ALIASES, embedded_folder
from magvit2.sampling import (
    CausalSampling,
    MaskedSampling,
    generators_for,
    sample_causal,
    sample_long,
    sample_masked,
    sample_masked_steps,
)
from magvit2.store import find_model, kind_of
from magvit2.tokenizer import Tokenizer

LanguageModel = MaskedLM | CausalLM
Sampling = MaskedSampling | CausalSampling

_KINDS: dict[str, Any] = {MaskedLM.kind: MaskedLM, CausalLM.kind: CausalLM}
_BATCH = 8
_DIMMED = 0.25


class Sample(NamedTuple):
    """A clip that was generated: its class ("" for none), its seed, ids [t, h, w] and 8-bit frames [T, H, W, 3]."""

    label: str
    seed: int
    ids: Int[Tensor, "t h w"]
    frames: Frames


def open_language_model(name: str, device: torch.device, dtype: torch.dtype = torch.float32) -> LanguageModel:
    """Return the masked or causal model called `name`: embedded, a folder, or a hub id. Raises ModelNotFoundError."""
    for kind, model in _KINDS.items():
        if embedded_folder(kind, name) is not None and kind_of(find_model(kind, name)) == kind:
            found: LanguageModel = model.from_pretrained(name, device=device, dtype=dtype)
            return found
    folder = find_model(MaskedLM.kind, name)
    kind = kind_of(folder)
    if kind not in _KINDS:
        raise InputError(f"{name}: holds a {kind}; expected a language model ({' or '.join(_KINDS)})")
    found = _KINDS[kind].from_pretrained(folder, device=device, dtype=dtype)
    return found


def embedded_language_models(tokenizer: Tokenizer) -> dict[str, MaskedLM]:
    """Return the embedded masked models of a tokenizer's ids, by their alias; none where it is not the default one."""
    found = {}
    for alias in ALIASES.get(MaskedLM.kind, {}):
        lm = MaskedLM.from_pretrained(alias, device=tokenizer.device, dtype=tokenizer.dtype)
        if lm.config.tokenizer == tokenizer.fingerprint:
            found[alias] = lm
    return found


def check_made_for(tokenizer: Tokenizer, lm: LanguageModel) -> None:
    """Raise InputError where a language model's tokens are those of another tokenizer."""
    if lm.config.tokenizer and lm.config.tokenizer != tokenizer.fingerprint:
        raise InputError(
            f"the language model was trained on tokens of tokenizer {lm.config.tokenizer}, this one is "
            f"{tokenizer.fingerprint}: give the tokenizer that it was trained with (--model)"
        )


def grid_for(config: LMConfig, num_frames: int | None) -> Size:
    """Return the grid of a clip of so many frames (the model's own unless said), at the model's height and width."""
    if num_frames is None:
        return config.grid
    _, height, width = config.space.size_for(config.grid)
    return config.space.grid_for((num_frames, height, width))


def generate(
    tokenizer: Tokenizer,
    lm: LanguageModel,
    labels: Sequence[int],
    seeds: Sequence[int],
    settings: Sampling,
    num_frames: int | None = None,
) -> Iterator[Sample]:
    """Yield a clip of each label (a class's number; num_classes for none), the same for the same seed.

    Clips longer than the model's are made by moving its window on (`sample_long`). Raises InputError where the models
    do not belong together, or as samplers do.
    """
    check_made_for(tokenizer, lm)
    grid = grid_for(lm.config, num_frames)
    for start in range(0, len(seeds), _BATCH):
        part = slice(start, start + _BATCH)
        ids = _sampled(lm, grid, _label(lm.config, labels[part]), settings, seeds[part])
        clips = decode(tokenizer, ids, num_frames)
        for label, seed, own, frames in zip(labels[part], seeds[part], ids, clips, strict=True):
            yield Sample(class_name(lm.config, label), seed, own, frames)


def _sampled(
    lm: LanguageModel, grid: Size, label: list[int] | None, settings: Sampling, seeds: Sequence[int]
) -> Int[Tensor, "b t h w"]:
    chance = generators_for(seeds)
    if grid[0] > lm.config.grid[0]:
        return sample_long(lm, grid, label, settings=settings, num_samples=len(seeds), generator=chance)
    if isinstance(lm, CausalLM):
        assert isinstance(settings, CausalSampling)
        return sample_causal(lm, grid, label, settings=settings, num_samples=len(seeds), generator=chance)
    assert isinstance(settings, MaskedSampling)
    return sample_masked(
        lm, grid, label, settings=settings, task=task_of(lm, "class"), num_samples=len(seeds), generator=chance
    )


def _label(config: LMConfig, labels: Sequence[int]) -> list[int] | None:
    """Return the labels as samplers take them: None where none of the clips has a class."""
    return None if all(label == config.num_classes for label in labels) else list(labels)


def class_name(config: LMConfig, label: int) -> str:
    """Return what a class is called: its name or its number, "" for none."""
    if label == config.num_classes:
        return ""
    return config.class_names[label] if config.class_names else str(label)


def task_of(lm: MaskedLM, task: Task) -> str | None:
    """Return the name of a task for the sampler; None for a model without tasks. Raises InputError for another's."""
    if not lm.config.tasks:
        return None
    if task not in lm.config.tasks:
        raise InputError(f"task {task!r}: this model was trained for {', '.join(lm.config.tasks)}")
    return task


def decode(tokenizer: Tokenizer, ids: Int[Tensor, "b t h w"], num_frames: int | None = None) -> list[Frames]:
    """Return the frames of ids, the first `num_frames` of each clip."""
    return [to_frames(clip)[:num_frames] for clip in tokenizer.decode(ids.to(tokenizer.device)).float()]


def film(
    tokenizer: Tokenizer, lm: MaskedLM, labels: Sequence[int], seeds: Sequence[int], settings: MaskedSampling
) -> Iterator[list[Frames]]:
    """Yield after each step of masked sampling what its guesses decode to, dimmed where they do not stand yet."""
    check_made_for(tokenizer, lm)
    steps = sample_masked_steps(
        lm,
        lm.config.grid,
        _label(lm.config, labels),
        settings=settings,
        task=task_of(lm, "class"),
        num_samples=len(seeds),
        generator=generators_for(seeds),
    )
    size = lm.config.space.size_for(lm.config.grid)
    for step in steps:
        stands = given_pixels(~step.is_unset.cpu(), lm.config.space, size).numpy()
        clips = decode(tokenizer, step.ids)
        yield [_dimmed(frames, mask) for frames, mask in zip(clips, stands, strict=True)]


def _dimmed(frames: Frames, stands: Bool[np.ndarray, "T H W"]) -> Frames:
    dim = (128 + _DIMMED * (frames.astype(np.float32) - 128)).round().astype(np.uint8)
    return np.where(stands[..., None], frames, dim)


@dataclass(frozen=True)
class Given:
    """Which part of a clip is given.

    The first `num_frames` (to "predict"), those and the last latent's ("interpolate"), all but a `box` ("inpaint"), or
    a box alone ("outpaint"): top, left, height, width in pixels; the middle half of both sides unless said.
    """

    task: Task = "predict"
    num_frames: int = 5
    box: tuple[int, int, int, int] | None = None


class Prediction(NamedTuple):
    """A clip with its unknown part filled in, what was given of it (the rest as `padded` leaves it), and the ids."""

    frames: Frames
    given: Frames
    is_known: Bool[np.ndarray, "t h w"]
    ids: Int[Tensor, "t h w"]


def predict(
    tokenizer: Tokenizer,
    lm: LanguageModel,
    clip: UInt8[np.ndarray, "T H W 3"],
    given: Given,
    settings: Sampling,
    num_frames: int | None = None,
    label: int | None = None,
    seed: int = 0,
) -> Prediction:
    """Return a clip of `num_frames`, the model's own unless said, that goes on from or around what is given of `clip`.

    Only given pixels are looked at: the others are filled as in COMMIT before ids are made. Those of given positions
    are known; of a model that was trained on the task with COMMIT's conditions, shown and refined. `label` is a class's
    number. A longer clip than the model's is predicted by moving its window on. Raises InputError for a clip of another
    height or width than the model's, too few frames, a task that the model does not know, or a bad box.
    """
    check_made_for(tokenizer, lm)
    space, grid = lm.config.space, grid_for(lm.config, num_frames)
    size = space.size_for(grid)
    known = _known(clip, given, lm.config, grid)
    clip_u8 = torch.from_numpy(_as_long(clip, size[0])).permute(3, 0, 1, 2)[None]
    shown = padded(clip_u8, given_pixels(known[None], space, size))
    ids = tokenizer.encode(_in_range(shown, tokenizer)).to(lm.device)
    made = _filled(lm, ids, known, given.task, _label(lm.config, [lm.config.num_classes if label is None else label]),
                   settings, seed)  # fmt: skip
    frames = decode(tokenizer, made, num_frames)[0]
    return Prediction(frames, shown[0].permute(1, 2, 3, 0).numpy()[: len(frames)], known.numpy(), made[0])


def _filled(
    lm: LanguageModel, ids: Tensor, known: Tensor, task: Task, label: list[int] | None, settings: Sampling, seed: int
) -> Int[Tensor, "1 t h w"]:
    chance, grid = generators_for([seed]), (ids.shape[1], ids.shape[2], ids.shape[3])
    num_given = int(known.all(dim=(1, 2)).sum())
    if isinstance(lm, CausalLM) or grid[0] > lm.config.grid[0]:
        if task != "predict":
            what = "a causal model" if isinstance(lm, CausalLM) else "a clip longer than the model's"
            raise InputError(f"task {task!r} with {what}: expected 'predict'")
        return sample_long(lm, grid, label, settings=settings, prefix=ids[:, :num_given], generator=chance)
    assert isinstance(settings, MaskedSampling)
    if f"{task}-commit" in lm.config.tasks and task not in lm.config.tasks:
        condition = Condition(ids, known[None].to(lm.device))
        return sample_masked(
            lm, grid, label, settings=settings, condition=condition, task=f"{task}-commit", generator=chance
        )
    mask = ~known.to(lm.device)
    return sample_masked(
        lm, grid, label, settings=settings, known=ids, mask=mask, task=task_of(lm, task), generator=chance
    )


def _known(clip: Frames, given: Given, config: LMConfig, grid: Size) -> Bool[Tensor, "t h w"]:
    """Return which positions of the grid are given. Raises InputError for what does not fit the clip or the model."""
    size = config.space.size_for(grid)
    if clip.shape[1:3] != size[1:]:
        raise InputError(
            f"a clip of {clip.shape[2]} x {clip.shape[1]} pixels: this model makes {size[2]} x {size[1]}; scale and "
            "cut it to that (--fit)"
        )
    known = torch.zeros(grid, dtype=torch.bool)
    if given.task in ("predict", "interpolate"):
        known[: _num_latents(clip, given, config, grid)] = True
        if given.task == "interpolate":
            _check_length(clip, size[0])
            known[-1] = True
    else:
        _check_length(clip, size[0])
        top, left, height, width = _box(given, config, grid)
        known[:, top : top + height, left : left + width] = True
        known = known if given.task == "outpaint" else ~known
    return known


def _check_length(clip: Frames, least: int) -> None:
    if len(clip) < least:
        raise InputError(f"a clip of {len(clip)} frames: expected {least} or more")


def _num_latents(clip: Frames, given: Given, config: LMConfig, grid: Size) -> int:
    """Return how many latents the given frames fill. Raises InputError where they fill none, or leave none."""
    _check_length(clip, given.num_frames)
    sizes = [config.space.size_for((count, 1, 1))[0] for count in range(1, grid[0])]
    if given.num_frames not in sizes:
        raise InputError(f"{given.num_frames} frames given: expected {', '.join(map(str, sizes))}, whole latents")
    return sizes.index(given.num_frames) + 1


def _box(given: Given, config: LMConfig, grid: Size) -> tuple[int, int, int, int]:
    """Return the box in latents; the middle half unless said. Raises InputError for one that does not lie on them."""
    height, width = config.space.strides[1:]
    if given.box is None:
        rows, columns = max(1, grid[1] // 2), max(1, grid[2] // 2)
        return (grid[1] - rows) // 2, (grid[2] - columns) // 2, rows, columns
    top, left, rows, columns = given.box
    fits = top + rows <= grid[1] * height and left + columns <= grid[2] * width and min(top, left) >= 0
    if any(side % stride for side, stride in zip(given.box, (height, width) * 2, strict=True)) or not fits \
            or min(rows, columns) < 1:  # fmt: skip
        raise InputError(
            f"box {given.box}: expected top, left, height, width in pixels, multiples of {height} and {width} within "
            f"{grid[1] * height} x {grid[2] * width}"
        )
    return top // height, left // width, rows // height, columns // width


def _as_long(clip: UInt8[np.ndarray, "T H W 3"], num_frames: int) -> UInt8[np.ndarray, "{num_frames} H W 3"]:
    """Return a clip cut to so many frames, or with its last one repeated: what is not given is not looked at."""
    short = num_frames - len(clip)
    return np.concatenate([clip, np.repeat(clip[-1:], short, axis=0)]) if short > 0 else clip[:num_frames]


def _in_range(clips_u8: UInt8[Tensor, "b 3 T H W"], tokenizer: Tokenizer) -> Tensor:
    return (clips_u8.to(tokenizer.device).float() / 127.5 - 1).to(tokenizer.dtype)
