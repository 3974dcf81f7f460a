"""From a run to embedded weights: rounded, measured, described, and never overwritten."""

import json
from pathlib import Path

import pytest
import torch

from magvit2.errors import InputError
from magvit2.recipes.embedded import embed_tokenizer
from magvit2.store import read_tensors
from magvit2.tokenizer import Tokenizer
from tests.tokenizer.making import OURS, random_tokenizer
from tests.training.making import make_pictures

FACTS = {"recipe": "r", "commit": "c", "steps": 7, "data": ["pictures"], "machine": "m", "licence": "free"}


def test_a_run_becomes_weights_in_bf16_with_a_card_measured_after_rounding(tmp_path: Path) -> None:
    data = make_pictures(tmp_path / "data")
    random_tokenizer(OURS).save_pretrained(tmp_path / "run" / "model")
    kinds = ["video"] * 20 + ["image"] * 4
    lines = [{"step": step, "kind": kind, "psnr": 20.0 + step} for step, kind in enumerate(kinds)]
    lines.append({"step": 23, "kind": "validation", "val_psnr": 3.0})
    (tmp_path / "run" / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    card = embed_tokenizer(tmp_path / "run", tmp_path / "mine-1", data, FACTS, max_frames=5)
    assert {value.dtype for value in read_tensors(tmp_path / "mine-1" / "model.safetensors").values()} == {
        torch.bfloat16
    }
    loaded = Tokenizer.from_pretrained(tmp_path / "mine-1")
    assert (
        card["fingerprint"] == loaded.fingerprint != Tokenizer.from_pretrained(tmp_path / "run" / "model").fingerprint
    )
    assert json.loads((tmp_path / "mine-1" / "card.json").read_text()) == card
    page = (tmp_path / "mine-1" / "README.md").read_text()
    assert card["curve"]["image"] == [[22, 40.5], [24, 42.5]]
    assert card["curve"]["video"][0] == [2, 20.5] and len(card["curve"]["video"]) == 10
    assert "| 2 | 20.5 |  |" in page and "| 24 |  | 42.5 |" in page
    assert page.startswith("# mine-1\n") and "- pictures" in page
    for name, value in card["metrics"].items():
        if name.endswith("/psnr_db"):
            assert f"| {name.removesuffix('/psnr_db')} | " in page and f" {value:.4g} |" in page
    with pytest.raises(InputError, match="immutable"):
        embed_tokenizer(tmp_path / "run", tmp_path / "mine-1", data, FACTS)


def test_a_card_without_its_facts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="commit, licence"):
        embed_tokenizer(
            tmp_path, tmp_path / "x", tmp_path, {k: FACTS[k] for k in FACTS if k not in ("commit", "licence")}
        )
    assert not (tmp_path / "x").exists()
