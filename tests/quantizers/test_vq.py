"""VQ: nearest codes, the moving average and restarts, compared with another implementation and with the definitions."""

import pytest
import torch
from vector_quantize_pytorch import VectorQuantize

from magvit2.errors import ConfigError, InputError
from magvit2.quantizers import VQ, Quantized


def clusters(generator: torch.Generator, count: int = 400) -> torch.Tensor:
    """Latents [count, 4] around eight points."""
    centres = 3 * torch.randn(8, 4, generator=generator)
    return centres[torch.randint(8, (count,), generator=generator)] + 0.1 * torch.randn(count, 4, generator=generator)


def test_ids_are_the_nearest_codes_by_brute_force(generator: torch.Generator) -> None:
    quantizer, latents = VQ(32, 4), torch.randn(2, 3, 5, 5, 4, generator=generator)
    quantized = quantizer(latents)
    distances = (latents.unsqueeze(-2).double() - quantizer.codebook.double()).square().sum(dim=-1)
    assert quantized.ids.equal(distances.argmin(dim=-1))
    assert quantized.codes.equal(quantizer.codebook[quantized.ids])
    assert quantized.latents is latents


def test_the_moving_average_is_the_other_implementation_s(generator: torch.Generator) -> None:
    ours = VQ(16, 4, decay=0.8, restart_below=0.0)
    other = VectorQuantize(dim=4, codebook_size=16, decay=0.8, eps=1e-10, rotation_trick=False, kmeans_init=False)
    start = torch.randn(16, 4, generator=generator)
    ours.codebook.copy_(start)
    ours.counts.fill_(1)
    ours.sums.copy_(start)
    other._codebook.embed.data.copy_(start[None])
    other._codebook.embed_avg.data.copy_(start[None])
    other._codebook.cluster_size.data.fill_(1)
    for _ in range(5):
        latents = torch.randn(1, 200, 4, generator=generator)
        ours_now = ours(latents)
        ours.update(ours_now)
        _, their_ids, _ = other.train()(latents)
        assert ours_now.ids.equal(their_ids)
        assert torch.allclose(ours.codebook, other._codebook.embed[0], atol=1e-5)


def test_the_first_update_puts_the_codebook_among_the_latents(generator: torch.Generator) -> None:
    quantizer, latents = VQ(64, 4), clusters(generator)
    before = (quantizer(latents).codes - latents).square().mean()
    quantizer.update(quantizer(latents))
    after = quantizer(latents)
    assert (after.codes - latents).square().mean() < before / 10
    assert after.ids.unique().numel() > 16


def test_a_code_that_is_out_of_use_starts_again_at_a_latent_and_one_in_use_does_not(generator: torch.Generator) -> None:
    quantizer = VQ(8, 2, decay=0.5, restart_below=0.1)
    quantizer.codebook.copy_(torch.tensor([[0.0, 0.0], *[[100.0, 100.0]] * 7]))
    quantizer.counts.fill_(1)
    quantizer.sums.copy_(quantizer.codebook)
    for _ in range(6):
        latents = torch.rand(50, 2, generator=generator)
        quantizer.update(quantizer(latents))
    assert (quantizer.codebook.max(dim=1).values <= 1).all()
    assert quantizer(torch.rand(500, 2, generator=generator)).ids.unique().numel() == 8


def test_without_restarts_an_unused_code_stays_where_it_is(generator: torch.Generator) -> None:
    quantizer = VQ(2, 2, decay=0.5, restart_below=0.0)
    quantizer.codebook.copy_(torch.tensor([[0.0, 0.0], [9.0, 9.0]]))
    for _ in range(200):  # long enough for its count to fall to nothing
        quantizer.update(quantizer(torch.rand(20, 2, generator=generator)))
    assert quantizer.codebook[1].tolist() == [9.0, 9.0]
    assert torch.allclose(quantizer.codebook[0], torch.tensor([0.5, 0.5]), atol=0.2)


def test_restarts_are_the_same_for_the_same_seed(generator: torch.Generator) -> None:
    latents, books = clusters(generator), []
    for _ in range(2):
        torch.manual_seed(3)
        quantizer = VQ(32, 4)
        quantizer.update(quantizer(latents))
        books.append(quantizer.codebook.clone())
    assert books[0].equal(books[1])


def test_the_gradient_goes_straight_through_and_none_to_the_codebook(generator: torch.Generator) -> None:
    latents = torch.randn(6, 4, generator=generator, requires_grad=True)
    quantizer = VQ(16, 4)
    (gradient,) = torch.autograd.grad((quantizer(latents).codes * 2).sum(), latents)
    assert gradient.eq(2).all()
    assert not list(quantizer.parameters())


def test_bfloat16_latents_are_compared_in_float32(generator: torch.Generator) -> None:
    quantizer, latents = VQ(64, 8), torch.randn(100, 8, generator=generator).bfloat16()
    assert quantizer(latents).ids.equal(quantizer(latents.float()).ids)
    with torch.autocast("cpu", torch.bfloat16):
        assert quantizer(latents).ids.equal(quantizer(latents.float()).ids)


def test_ids_and_codes_are_inverse() -> None:
    quantizer = VQ(100, 8)
    assert quantizer.codes_to_ids(quantizer.ids_to_codes(torch.arange(100))).equal(torch.arange(100))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1, 4), "expected 2 codes and 1 channel"),
        ((4, 0), "expected 2 codes and 1 channel"),
        ((4, 4, 1.0), "less than 1"),
        ((4, 4, -0.1), "less than 1"),
        ((4, 4, 0.9, 1.0), "less than 1"),
    ],
)
def test_impossible_settings_are_refused(arguments: tuple[float, ...], message: str) -> None:
    names = ("codebook_size", "dim", "decay", "restart_below")
    with pytest.raises(ConfigError, match=message):
        VQ(**dict(zip(names, arguments, strict=False)))  # type: ignore[arg-type]


def test_another_number_of_channels_is_refused() -> None:
    with pytest.raises(InputError, match="expected 4 channels"):
        VQ(8, 4)(torch.zeros(2, 3))
    assert isinstance(VQ(8, 4)(torch.zeros(2, 4)), Quantized)
