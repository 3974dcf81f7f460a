"""Exported models beside stock transformers: equal logits, equal greedy ids, and what cannot be exported."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaForCausalLM

from magvit2.errors import FormatError, InputError, OutputError
from magvit2.interop import export_llama
from magvit2.layers.transformer import TransformerConfig
from magvit2.lm import CausalLM, CausalLMConfig, MaskedLM, MaskedLMConfig
from magvit2.sampling import sample_causal
from magvit2.tokens import TokenSpace
from tests.cli.running import done, run, tree

SHAPE = TransformerConfig(width=24, num_layers=2, num_heads=3, mlp_width=40)
SPACE = TokenSpace((2,) * 6, (4, 8, 8))
GRID = (2, 2, 3)
FILES = ["README.md", "config.json", "generation_config.json", "model.safetensors"]


def loud(num_factors: int = 2, *, is_tied: bool = False, **changes: Any) -> CausalLM:
    """A model of 6 bits and 3 classes whose weights, norms too, are large enough to be seen in every logit."""
    settings = {
        "space": TokenSpace((2,) * 6, (4, 8, 8)),
        "grid": GRID,
        "num_classes": 3,
        "transformer": SHAPE,
    } | changes
    with torch.random.fork_rng():
        torch.manual_seed(num_factors)
        lm = CausalLM(CausalLMConfig(num_factors=num_factors, is_tied=is_tied, **settings)).eval()
        for parameter in lm.parameters():
            parameter.data = torch.randn_like(parameter) * 0.2 + (parameter.ndim == 1)
    return lm


def loaded(lm: CausalLM, folder: Path) -> LlamaForCausalLM:
    """The model as transformers sees it; every weight must be found, and none be left over."""
    export_llama(lm, folder)
    model, found = LlamaForCausalLM.from_pretrained(folder, output_loading_info=True)
    assert not any(found[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    return model


@pytest.mark.parametrize("is_tied", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("num_factors", [1, 2, 3])
@pytest.mark.parametrize("base", [100.0, 10000.0])
@torch.no_grad()
def test_transformers_predicts_the_same(tmp_path: Path, num_factors: int, is_tied: bool, base: float) -> None:
    lm = loud(num_factors, is_tied=is_tied, rotary_base=base)
    model = loaded(lm, tmp_path / "llama")
    sequence = torch.randint(lm.config.vocab_size, (2, lm.config.sequence_length))
    expected = lm(sequence)
    assert expected.std() > 0.5
    torch.testing.assert_close(model(sequence).logits, expected, rtol=1e-4, atol=1e-4)


def test_whole_ids_come_out_of_generate_as_they_are_sampled(tmp_path: Path) -> None:
    lm = loud(1)
    model = loaded(lm, tmp_path / "llama")
    first = lm.class_tokens(torch.tensor([0, 1, 2]))[:, None]
    found = model.generate(first, attention_mask=torch.ones_like(first), do_sample=False)
    assert torch.equal(lm.to_ids(found[:, 1:], GRID), sample_causal(lm, GRID, [0, 1, 2], top_k=1))


def test_factors_come_out_as_they_are_sampled_where_only_their_own_tokens_are_allowed(tmp_path: Path) -> None:
    lm = loud(2)
    model = loaded(lm, tmp_path / "llama")
    said = json.loads((tmp_path / "llama" / "config.json").read_text())["magvit2"]
    assert (said["factor_sizes"], said["first_class_token"]) == ([8, 8], 16)

    def allowed(batch: int, tokens: torch.Tensor) -> list[int]:
        start = 8 * ((len(tokens) - 1) % 2)
        return list(range(start, start + 8))

    first = torch.tensor([[19]])
    found = model.generate(first, do_sample=False, prefix_allowed_tokens_fn=allowed)
    assert torch.equal(lm.to_ids(found[:, 1:], GRID), sample_causal(lm, GRID, top_k=1))


def test_by_default_a_whole_grid_is_sampled_and_no_class_is(tmp_path: Path) -> None:
    lm = loud(1)
    model = loaded(lm, tmp_path / "llama")
    found = model.generate(torch.tensor([[67]]).expand(20, 1), attention_mask=torch.ones(20, 1))
    assert found.shape == (20, 13) and found[:, 1:].max() < 64
    assert len(found.unique(dim=0)) > 1


def test_the_readme_says_what_its_code_does(tmp_path: Path) -> None:
    """The code in it is run: it must give ids of the model's space."""
    lm = loud(3, class_names=("walk", "run", "fly"), tokenizer="0123456789abcdef")
    model = loaded(lm, tmp_path / "llama")
    text = (tmp_path / "llama" / "README.md").read_text()
    assert "4 to 7: factor 1; 8 to 11: factor 2; 12 to 14: classes walk, run, fly; 15: no class" in text
    assert "0123456789abcdef" in text
    known: dict[str, Any] = {"torch": torch, "model": model}
    exec(text.split("```python\n")[1].split("```")[0], known)
    tokens = known["tokens"]
    assert tokens.shape == (1, 37)
    for place, token in enumerate(tokens[0, 1:].tolist()):
        assert token // 4 == place % 3
    assert lm.to_ids(tokens[:, 1:], GRID).max() < 64


def test_bert_blocks_are_refused(tmp_path: Path) -> None:
    lm = loud(2, transformer=TransformerConfig("bert", 24, 1, 2, 32))
    with pytest.raises(InputError, match=r"a model of 'bert' blocks: .* transformer\.style=llama"):
        export_llama(lm, tmp_path / "llama")
    assert tree(tmp_path) == []


def test_an_older_export_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    lm, out = loud(1), tmp_path / "llama"
    out.mkdir()
    export_llama(loud(2), out)
    assert tree(out) == FILES
    (out / "vocabulary.txt").touch()
    export_llama(lm, out)
    assert tree(tmp_path) == ["llama", *(f"llama/{name}" for name in FILES)]
    assert json.loads((out / "config.json").read_text())["magvit2"]["fingerprint"] == lm.fingerprint


@pytest.mark.parametrize("content", [None, "{}", "no JSON", '{"model_type": "llama"}', '["magvit2"]'])
def test_what_is_not_an_export_stays(tmp_path: Path, content: str | None) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / ("notes.txt" if content is None else "config.json")).write_text(content or "")
    with pytest.raises(FormatError, match="is not empty and holds no exported model; give a new folder"):
        export_llama(loud(), out)
    assert len(tree(tmp_path)) == 2


def test_a_model_of_ours_is_not_replaced_by_its_own_export(tmp_path: Path) -> None:
    lm = loud()
    lm.save_pretrained(tmp_path)
    with pytest.raises(FormatError, match="holds no exported model"):
        export_llama(lm, tmp_path)
    assert CausalLM.from_pretrained(tmp_path).fingerprint == lm.fingerprint


def test_a_failure_on_the_way_leaves_the_older_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export_llama(loud(1), tmp_path / "llama")
    before = {name: (tmp_path / "llama" / name).read_bytes() for name in FILES}
    monkeypatch.setattr("magvit2.interop.llama._readme", lambda lm: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(OutputError, match=r"llama: cannot be written \(No space left on device\); free some space"):
        export_llama(loud(2), tmp_path / "llama")
    assert tree(tmp_path) == ["llama", *(f"llama/{name}" for name in FILES)]
    assert before == {name: (tmp_path / "llama" / name).read_bytes() for name in FILES}


def test_the_verb_writes_a_llama_and_says_what_its_tokens_are(tmp_path: Path) -> None:
    lm = loud()
    lm.save_pretrained(tmp_path / "lm")
    found = json.loads(done("export", "llama", tmp_path / "lm", tmp_path / "llama", "--json"))
    assert (found["vocabulary"], found["tokens of a sequence"], found["fingerprint"]) == (20, 25, lm.fingerprint)
    assert tree(tmp_path / "llama") == FILES


def test_what_cannot_be_exported_is_one_line(tmp_path: Path) -> None:
    MaskedLM(MaskedLMConfig(transformer=SHAPE)).save_pretrained(tmp_path / "masked")
    assert (
        "holds a model of kind 'masked-lm', expected 'causal-lm'"
        in run("export", "llama", tmp_path / "masked", tmp_path / "llama").line
    )
    loud().save_pretrained(tmp_path / "lm")
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "llama"):
        line = run("export", "llama", tmp_path / "lm", out).line
        assert str(out) in line and ("give a new folder" in line or "cannot be written" in line)
