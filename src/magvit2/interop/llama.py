"""A causal language model as a stock Llama: a folder that `transformers.LlamaForCausalLM` loads, with equal logits.

Our `llama` blocks are Llama's: pre-norm, RMSNorm, SwiGLU, no biases, and rotary positions that pair channel i of a head
with channel i + d / 2. Two matrices are cut: queries, keys and values; gate and up.
"""

import contextlib
import itertools
import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from torch import Tensor

from magvit2.errors import FormatError, InputError, errors_as_output
from magvit2.layers.transformer import RMS_EPS
from magvit2.lm.causal import CausalLM
from magvit2.store import CONFIG_NAME, TENSORS_NAME, remove_folder, write_tensors, write_text

_KEY = "magvit2"  # of config.json: what the tokens mean; and the sign that a folder is an export, to be replaced


def export_llama(lm: CausalLM, folder: Path) -> None:
    """Write a causal model to `folder` as a Llama: config, weights in float32, defaults of generation and a README.

    The folder appears whole or not at all; an older export is replaced. Raises InputError for blocks that are not
    Llama's, FormatError where the folder holds something else, OutputError where it cannot be written.
    """
    if lm.config.transformer.style != "llama":
        raise InputError(
            f"a model of {lm.config.transformer.style!r} blocks: a Llama has other norms and positions; "
            "export one that was trained with transformer.style=llama"
        )
    if folder.exists() and not _may_be_replaced(folder):
        raise FormatError(f"{folder}: is not empty and holds no exported model; give a new folder")
    with _appearing(folder) as partial:
        write_tensors(partial / TENSORS_NAME, llama_tensors(lm), {"format": "pt"})
        write_text(partial / CONFIG_NAME, json.dumps(llama_config(lm), indent=2) + "\n")
        write_text(partial / "generation_config.json", json.dumps(generation_config(lm), indent=2) + "\n")
        write_text(partial / "README.md", _readme(lm))


def llama_tensors(lm: CausalLM) -> dict[str, Tensor]:
    """Return the weights by Llama's names, in float32; a tied head has none of its own."""
    tensors = {"model.embed_tokens.weight": lm.embedding.weight}
    for layer in range(lm.config.transformer.num_layers):
        source, target = f"transformer.blocks.{layer}", f"model.layers.{layer}"
        tensors |= {f"{target}.{name}": tensor for name, tensor in _block(lm.state_dict(), source).items()}
    tensors["model.norm.weight"] = lm.state_dict()["transformer.output_norm.weight"]
    if lm.head is not None:
        tensors["lm_head.weight"] = lm.head.weight
    return {name: tensor.detach().float().cpu() for name, tensor in tensors.items()}


def _block(weights: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    queries, keys, values = weights[f"{name}.attention.qkv.weight"].chunk(3)
    gate, up = weights[f"{name}.mlp.gate_up.weight"].chunk(2)
    return {
        "input_layernorm.weight": weights[f"{name}.attention_norm.weight"],
        "self_attn.q_proj.weight": queries,
        "self_attn.k_proj.weight": keys,
        "self_attn.v_proj.weight": values,
        "self_attn.o_proj.weight": weights[f"{name}.attention.out.weight"],
        "post_attention_layernorm.weight": weights[f"{name}.mlp_norm.weight"],
        "mlp.gate_proj.weight": gate,
        "mlp.up_proj.weight": up,
        "mlp.down_proj.weight": weights[f"{name}.mlp.down.weight"],
    }


def llama_config(lm: CausalLM) -> dict[str, Any]:
    """Return config.json: Llama's fields and, under "magvit2", what the tokens mean.

    The base of the rotation and the type stand twice: `rope_theta` and `torch_dtype` are what transformers 4 reads,
    `rope_parameters` and `dtype` what 5 does. There is no token that ends a sequence.
    """
    config = lm.config
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": config.vocab_size,
        "hidden_size": config.transformer.width,
        "intermediate_size": config.transformer.mlp_width,
        "num_hidden_layers": config.transformer.num_layers,
        "num_attention_heads": config.transformer.num_heads,
        "num_key_value_heads": config.transformer.num_heads,
        "head_dim": config.transformer.head_width,
        "hidden_act": "silu",
        "rms_norm_eps": RMS_EPS,
        "rope_theta": config.rotary_base,
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rotary_base},
        "max_position_embeddings": config.sequence_length,
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": config.is_tied,
        "bos_token_id": config.vocab_size - 1,
        "eos_token_id": None,
        "pad_token_id": None,
        "dtype": "float32",
        "torch_dtype": "float32",
        _KEY: {
            "fingerprint": lm.fingerprint,
            "tokenizer": config.tokenizer,
            "grid": config.grid,
            "radices": config.space.radices,
            "strides": config.space.strides,
            "is_causal": config.space.is_causal,
            "factor_sizes": config.factor_sizes,
            "first_class_token": lm.offsets[-1],
            "num_classes": config.num_classes,
            "class_names": config.class_names,
        },
    }


def generation_config(lm: CausalLM) -> dict[str, Any]:
    """Return generation_config.json: by default a whole grid is sampled, and no class is ever drawn."""
    return {
        "bos_token_id": lm.config.vocab_size - 1,
        "do_sample": True,
        "temperature": 1.0,
        "top_k": 0,
        "max_length": lm.config.sequence_length,
        "suppress_tokens": list(range(lm.offsets[-1], lm.config.vocab_size)),
    }


def _readme(lm: CausalLM) -> str:
    config, offsets = lm.config, lm.offsets
    space, num_factors, none = config.space, config.num_factors, config.vocab_size - 1
    sizes = _list(config.factor_sizes)
    in_time = ", the first ones in time one frame" if space.is_causal else ""
    return f"""# A causal model of visual tokens, as a Llama

Written by `magvit2 export llama`; `transformers.LlamaForCausalLM.from_pretrained` loads it. There is no text tokenizer:
tokens are numbers, and `config.json` says all of this under "{_KEY}", too.

- A sequence is a class token, then the ids of a grid (t, h, w) in order, w fastest. No token ends it. The largest grid
  is {_by(config.grid)}, the default of `generate`; for a smaller one give `max_length=1 + {num_factors} * t * h * w`.
- A position covers {_by(space.strides)} frames, rows and columns{in_time}.
- An id is {num_factors} token(s), one a factor, the least significant first. Factors have {sizes} values.
  A token is its value plus the sizes of the factors before it; an id is the sum of the values, each times the product
  of the sizes before it. The digits of an id, least significant first, have the radices {_list(space.radices)}.
- Tokens {"; ".join(_token_ranges(lm))}.
- The fingerprint of the tokenizer that these ids are of: {config.tokenizer or "not known"}.

Behind n tokens, the class among them, only those of factor (n - 1) mod {num_factors} should be drawn:

```python
offsets = {list(offsets)}

def allowed(batch, tokens):
    factor = (len(tokens) - 1) % {num_factors}
    return list(range(offsets[factor], offsets[factor + 1]))

tokens = model.generate(torch.tensor([[{none}]]), prefix_allowed_tokens_fn=allowed)
```
"""


def _token_ranges(lm: CausalLM) -> list[str]:
    """Return what each run of the vocabulary is."""
    config, offsets = lm.config, lm.offsets
    ranges = [f"{first} to {end - 1}: factor {i}" for i, (first, end) in enumerate(itertools.pairwise(offsets))]
    if config.num_classes:
        names = f" {_list(config.class_names)}" if config.class_names else ""
        ranges.append(f"{offsets[-1]} to {config.vocab_size - 2}: classes{names}")
    return [*ranges, f"{config.vocab_size - 1}: no class"]


def _by(sides: Iterable[int]) -> str:
    return " x ".join(map(str, sides))


def _list(values: Iterable[object]) -> str:
    return ", ".join(map(str, values))


def _may_be_replaced(folder: Path) -> bool:
    """Whether there is an empty folder, or an export of ours."""
    if not folder.is_dir():
        return False
    path = folder / CONFIG_NAME
    if not path.is_file():
        return not any(folder.iterdir())
    try:
        found = json.loads(path.read_text())
    except ValueError:
        return False
    return isinstance(found, dict) and found.get("model_type") == "llama" and _KEY in found


@contextlib.contextmanager
def _appearing(folder: Path) -> Iterator[Path]:
    """Yield a hidden folder that takes the place of `folder` on success and vanishes on failure. Raises OutputError."""
    with errors_as_output(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".partial", dir=folder.parent))
        try:
            yield partial
            partial.chmod(0o755)
            if folder.exists():
                remove_folder(folder)
            partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
