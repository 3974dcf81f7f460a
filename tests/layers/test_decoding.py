"""Steps of one token beside the transformer that sees all of them at once."""

import pytest
import torch

from magvit2.layers.decoding import StepCache
from magvit2.layers.rotary import rotation
from magvit2.layers.transformer import Transformer, TransformerConfig

SHAPE = TransformerConfig(width=24, num_layers=3, num_heads=3, mlp_width=20)
TURN = rotation(torch.arange(9)[:, None], 8, 100.0)


def made() -> Transformer:
    """A transformer whose every weight, those of norms too, is far from where it begins."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        transformer = Transformer(SHAPE).eval()
        for parameter in transformer.parameters():
            parameter.data = torch.randn_like(parameter) * 0.3 + (parameter.ndim == 1)
    return transformer


def stepped(transformer: Transformer, x: torch.Tensor, num_first: int) -> torch.Tensor:
    """The hidden states, those behind the first ones by steps."""
    cache = StepCache(transformer, len(x), x.shape[1])
    first = transformer(x[:, :num_first], TURN.at(slice(0, num_first)), cache, is_causal=True)
    steps = [cache.step(x[:, i], TURN.at(slice(i, i + 1))) for i in range(num_first, x.shape[1])]
    assert cache.length == x.shape[1]
    return torch.cat([first, torch.stack(steps, dim=1)], dim=1)


@pytest.mark.parametrize("num_first", [1, 4])
@pytest.mark.parametrize("scale", [1.0, 1e-3])  # 1e-3: eps 1e-6 is half of what is under the root
@torch.no_grad()
def test_steps_are_the_transformer(num_first: int, scale: float, generator: torch.Generator) -> None:
    transformer = made()
    x = scale * torch.randn(2, 9, 24, generator=generator)
    torch.testing.assert_close(
        stepped(transformer, x, num_first), transformer(x, TURN, is_causal=True), rtol=1e-4, atol=1e-5
    )


@torch.no_grad()
def test_steps_in_bfloat16_are_near_it(generator: torch.Generator) -> None:
    x = torch.randn(2, 9, 24, generator=generator)
    found = stepped(made().bfloat16(), x.bfloat16(), 1)
    assert found.dtype == torch.bfloat16
    exact = made()(x, TURN, is_causal=True)
    assert (found - exact).norm() < 0.05 * exact.norm()


@torch.no_grad()
def test_what_is_forgotten_is_written_over(generator: torch.Generator) -> None:
    transformer = made()
    x = torch.randn(2, 9, 24, generator=generator)
    cache = StepCache(transformer, 2, 9)
    transformer(x[:, :3], TURN.at(slice(0, 3)), cache, is_causal=True)
    turn = TURN.at(slice(3, 4))
    once = cache.step(x[:, 3], turn)
    cache.length = 3
    other = cache.step(x[:, 4], turn)
    cache.length = 3
    assert torch.equal(cache.step(x[:, 3], turn), once) and not torch.equal(other, once)


@torch.no_grad()
def test_a_cache_is_of_the_weights_that_there_were(generator: torch.Generator) -> None:
    transformer = made()
    x = torch.randn(2, 9, 24, generator=generator)
    cache = StepCache(transformer, 2, 9)
    transformer(x[:, :1], TURN.at(slice(0, 1)), cache, is_causal=True)
    before = cache.step(x[:, 1], TURN.at(slice(1, 2)))
    for parameter in transformer.blocks.parameters():
        parameter.zero_()
    cache.length = 1
    assert torch.equal(cache.step(x[:, 1], TURN.at(slice(1, 2))), before)
