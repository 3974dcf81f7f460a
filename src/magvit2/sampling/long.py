"""Long clips: a model made for a few latents in time is moved along, and given the end of what it has generated."""

import torch
from jaxtyping import Int
from torch import Tensor

from magvit2.errors import InputError
from magvit2.geometry import Size
from magvit2.lm.causal import CausalLM
from magvit2.lm.masked import MaskedLM
from magvit2.sampling.causal import sample_causal
from magvit2.sampling.chance import Chance, sample_generators
from magvit2.sampling.masked import sample_masked
from magvit2.sampling.request import Label, check_ids, count_samples
from magvit2.sampling.settings import CausalSampling, MaskedSampling


def sample_long(
    lm: MaskedLM | CausalLM,
    grid: Size,
    label: Label = None,
    *,
    overlap: int | None = None,
    settings: MaskedSampling | CausalSampling | None = None,
    prefix: Int[Tensor, "b t0 h w"] | None = None,
    num_samples: int | None = None,
    generator: Chance = None,
) -> Int[Tensor, "b t h w"]:
    """Return ids on a grid (t, h, w) of any t, int64 on the model's device; h and w are at most the model's.

    The model's window of `lm.config.grid[0]` latents is filled, then moved so that its first `overlap` latents (half of
    it unless said) are the last ones there are, and filled again. `prefix` are ids of the first latents; all of them
    are seen while the window has room for them. A model with tasks is asked to "predict" behind known latents, else to
    make a clip of a "class". `settings` are those of the model's kind; the rest is as in `sample_masked` and
    `sample_causal`.

    Latent 0 of a causal tokenizer is the code of one frame, the others are codes of 4. Once the window has moved, its
    position 0 holds one of those others, which a model trained on whole clips has not seen there.

    Raises InputError for a grid too high or wide, an overlap that is not 1 or more and less than the window, a prefix
    that leaves nothing to generate, settings of the other kind, and as those two do.
    """
    window = min(lm.config.grid[0], grid[0])
    lm.config.check_grid((window, *grid[1:]))
    overlap = max(1, window // 2) if overlap is None else overlap
    if grid[0] > window and not 1 <= overlap < window:
        raise InputError(f"overlap = {overlap}: expected 1 or more and less than the model's {window} latents")
    count = count_samples(label, num_samples, prefix=prefix)
    ids = torch.zeros((count, 0, *grid[1:]), dtype=torch.int64) if prefix is None else prefix.long()
    check_ids("prefix", ids, (ids.shape[1], *grid[1:]))
    if ids.shape[1] >= grid[0]:
        raise InputError(f"prefix of {ids.shape[1]} latents on a grid {grid}: expected at most {grid[0] - 1}")
    ids, generators = ids.to(lm.device), sample_generators(generator, count)
    while (length := ids.shape[1]) < grid[0]:
        start = 0 if length < window else length - overlap
        size = min(window, grid[0] - start), *grid[1:]
        filled = _fill(lm, size, label, ids[:, start:], settings, generators)
        ids = torch.cat([ids[:, :start], filled], dim=1)
    return ids


def _fill(
    lm: MaskedLM | CausalLM,
    grid: Size,
    label: Label,
    first: Tensor,
    settings: MaskedSampling | CausalSampling | None,
    generators: list[torch.Generator],
) -> Tensor:
    """Return a window whose first latents are known."""
    if isinstance(lm, CausalLM):
        if isinstance(settings, MaskedSampling):
            raise InputError(f"{settings} for a causal model: expected CausalSampling")
        return sample_causal(lm, grid, label, settings=settings, prefix=first, generator=generators)
    if isinstance(settings, CausalSampling):
        raise InputError(f"{settings} for a masked model: expected MaskedSampling")
    num_known = first.shape[1]
    known = torch.cat([first, first.new_zeros(len(first), grid[0] - num_known, *grid[1:])], dim=1)
    mask = torch.ones(grid, dtype=torch.bool, device=known.device)
    mask[:num_known] = False
    task = "predict" if num_known else "class"
    return sample_masked(
        lm, grid, label, settings=settings, known=known, mask=mask, generator=generators,
        task=task if task in lm.config.tasks else None,
    )  # fmt: skip
