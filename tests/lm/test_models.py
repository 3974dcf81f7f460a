"""Language models: the paper's counts, what may see what, and sequences that come back as ids."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from magvit2.errors import ConfigError, InputError
from magvit2.layers.transformer import TransformerConfig
from magvit2.lm import CausalLM, CausalLMConfig, MaskedLM, MaskedLMConfig, lm_preset
from magvit2.tokens import TokenSpace

SMALL = TransformerConfig(width=24, num_layers=2, num_heads=2, mlp_width=32, dropout=0.0)
BERT = TransformerConfig("bert", width=24, num_layers=2, num_heads=2, mlp_width=32, dropout=0.0)
SPACE = TokenSpace((2,) * 6, (4, 8, 8))
FSQ = TokenSpace((8, 5, 5), (4, 8, 8))
STYLES = pytest.mark.parametrize("shape", [SMALL, BERT], ids=["llama", "bert"])


def masked(**changes: object) -> MaskedLM:
    settings = {"space": SPACE, "grid": (2, 3, 3), "num_classes": 3, "transformer": SMALL} | changes
    return MaskedLM(MaskedLMConfig(**settings)).eval()  # type: ignore[arg-type]


def causal(**changes: object) -> CausalLM:
    settings = {"space": SPACE, "grid": (2, 3, 3), "num_classes": 3, "transformer": SMALL} | changes
    return CausalLM(CausalLMConfig(**settings)).eval()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "millions"), [("mlm-2x9", 307), ("mlm-4x10", 312), ("mlm-1024", 306), ("mlm-video", 307), ("ar-18", 840)]
)
def test_parameter_counts_are_the_published_ones(name: str, millions: float) -> None:
    config = lm_preset(name)
    with torch.device("meta"):
        model = MaskedLM(config) if isinstance(config, MaskedLMConfig) else CausalLM(config)  # type: ignore[arg-type]
    count = sum(parameter.numel() for parameter in model.parameters())
    assert count == pytest.approx(millions * 1e6, rel=0.005)


def test_a_masked_model_counted_by_hand_has_as_many_parameters() -> None:
    model = masked(transformer=BERT)
    block = 24 * 72 + 72 + 24 * 24 + 24 + 48 + 24 * 32 + 32 + 32 * 24 + 24 + 48
    factor = 9 * 24 + 24 * 24 + 24 + 48 + 8
    expected = 2 * block + 48 + 2 * factor + 4 * 24 + (1 + 18) * 24
    assert sum(parameter.numel() for parameter in model.parameters()) == expected


def test_an_unknown_preset_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"'mlm-2x8': expected one of mlm-2x9, .*did you mean 'mlm-2x9'"):
        lm_preset("mlm-2x8")


@STYLES
def test_every_position_sees_every_other_in_a_masked_model(shape: TransformerConfig) -> None:
    model = masked(transformer=shape)
    factors = torch.full((1, 2, 3, 3, 2), 8)
    before = model(factors, torch.tensor([0]))
    for place in itertools.product(range(2), range(3), range(3)):
        changed = factors.clone()
        changed[(0, *place)] = 1
        after = model(changed, torch.tensor([0]))
        assert all((a != b).any(dim=-1).all() for a, b in zip(after, before, strict=True))


@STYLES
def test_the_class_and_the_task_change_what_a_masked_model_predicts(shape: TransformerConfig) -> None:
    model = masked(transformer=shape, tasks=("class", "predict"))
    factors = torch.full((1, 2, 3, 3, 2), 8)
    seen = [
        model(factors, torch.tensor([label]), torch.tensor([task]))[0]
        for label, task in itertools.product(range(4), range(2))
    ]
    assert all((a != b).any() for a, b in itertools.combinations(seen, 2))
    with pytest.raises(InputError, match="expected one of class, predict"):
        model(factors, torch.tensor([0]))


@STYLES
def test_places_are_told_apart_where_all_tokens_are_masked(shape: TransformerConfig) -> None:
    logits = masked(transformer=shape)(torch.full((1, 2, 3, 3, 2), 8), torch.tensor([0]))[0].flatten(0, 3)
    apart = torch.cdist(logits, logits) + torch.eye(18) * 9
    assert apart.min() > 0.02 * logits.norm(dim=-1).mean()  # not by rounding alone


@STYLES
def test_a_smaller_grid_is_a_corner_of_the_largest(shape: TransformerConfig) -> None:
    model = masked(transformer=shape)
    assert [logits.shape for logits in model(torch.full((2, 1, 2, 3, 2), 8), torch.tensor([0, 3]))] == [
        (2, 1, 2, 3, 8)
    ] * 2
    with pytest.raises(InputError, match=r"grid \(3, 3, 3\): expected at most \(2, 3, 3\).*\(5, 24, 24\) frames"):
        model(torch.full((1, 3, 3, 3, 2), 8), torch.tensor([0]))


def test_factors_may_differ_in_size() -> None:
    model = masked(space=FSQ, num_factors=3)
    logits = model(torch.tensor([8, 5, 5]).expand(1, 2, 3, 3, 3), torch.tensor([0]))
    assert [part.shape[-1] for part in logits] == [8, 5, 5]


def test_a_model_of_bits_has_no_table_and_two_values_a_bit() -> None:
    model = masked(num_factors=6, tokens="bits")
    logits = model(torch.full((1, 2, 3, 3, 6), 2), torch.tensor([0]))
    assert [part.shape[-1] for part in logits] == [2] * 6
    assert all((part[..., 0] == 0).all() and part[..., 1].any() for part in logits)
    assert [module for module in model.tokens.modules() if isinstance(module, torch.nn.Embedding)] == []
    with pytest.raises(ConfigError, match=r"'bits' with 2 factors of \(8, 8\).*num_factors = 6"):
        MaskedLMConfig(space=SPACE, tokens="bits")


@STYLES
def test_a_causal_model_never_sees_what_comes_later(shape: TransformerConfig) -> None:
    model = causal(transformer=shape)
    sequence = torch.randint(16, (1, 20))
    before = model(sequence)
    for place in range(1, 20):
        changed = sequence.clone()
        changed[0, place] = (changed[0, place] + 1) % 16
        after = model(changed)
        assert torch.equal(after[:, :place], before[:, :place])
        assert (after[:, place:] != before[:, place:]).any(dim=-1).all()


@STYLES
@pytest.mark.parametrize("is_tied", [False, True])
@torch.no_grad()
def test_a_cache_changes_no_logit(shape: TransformerConfig, is_tied: bool) -> None:
    model = causal(transformer=shape, is_tied=is_tied)
    sequence = torch.randint(model.config.vocab_size, (2, 30))
    cache = model.new_cache(2)
    steps = [model(sequence[:, :4], cache)] + [model(sequence[:, i : i + 1], cache) for i in range(4, 30)]
    torch.testing.assert_close(torch.cat(steps, dim=1), model(sequence), rtol=1e-5, atol=1e-6)
    assert cache.length == 30


@torch.no_grad()
def test_a_factors_logits_are_a_stretch_of_all() -> None:
    model = causal(space=FSQ, num_factors=3)
    hidden = torch.randn(2, 5, 24)
    found = torch.cat([model.factor_logits(hidden, factor) for factor in range(3)], dim=-1)
    torch.testing.assert_close(found, model.logits(hidden)[..., :18])


@given(st.sampled_from([(SPACE, 1), (SPACE, 2), (SPACE, 4), (FSQ, 2), (FSQ, 3)]), st.integers(0, 2**32))
def test_sequences_come_back_as_ids(made: tuple[TokenSpace, int], seed: int) -> None:
    space, num_factors = made
    model = causal(space=space, num_factors=num_factors)
    ids = torch.randint(space.vocab_size, (2, 2, 3, 1), generator=torch.Generator().manual_seed(seed))
    sequence = model.to_sequence(ids)
    assert sequence.shape == (2, 6 * num_factors) and sequence.max() < model.offsets[-1]
    assert torch.equal(model.to_ids(sequence, (2, 3, 1)), ids)
    assert model.class_tokens(torch.tensor([3])).item() == model.config.vocab_size - 1


def test_classes_are_found_by_name_or_number() -> None:
    config = MaskedLMConfig(num_classes=2, class_names=("walk", "run"))
    assert [config.class_index(name) for name in ("run", "0")] == [1, 0]
    with pytest.raises(InputError, match="class 'wakl': expected one of walk, run; did you mean 'walk'"):
        config.class_index("wakl")
    with pytest.raises(InputError, match="class '5': expected one of 0 to 2"):
        MaskedLMConfig(num_classes=3).class_index("5")
    with pytest.raises(InputError, match="knows no classes"):
        MaskedLMConfig().class_index("walk")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"grid": (0, 1, 1)}, "expected 1 or more"),
        ({"num_classes": 2, "class_names": ("one",)}, "1 class names for 2 classes"),
        ({"num_factors": 19}, "expected 1 to 18"),
    ],
)
def test_what_cannot_be_is_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        MaskedLMConfig(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [masked, causal])
def test_a_saved_model_comes_back(kind: type, tmp_path: object) -> None:
    model = kind(class_names=("a", "b", "c"), tokenizer="0123456789abcdef")
    model.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path)
    assert again.config == model.config and again.fingerprint == model.fingerprint
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), model.parameters(), strict=True))
