"""The verbs export ...: a trained model in a format of other people's."""

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from magvit2.cli.common import Json, show


def llama(
    model: Annotated[Positional[str], arg(metavar="MODEL")],
    out: Annotated[Positional[Path], arg(metavar="OUT")],
    json: Json = False,
) -> None:
    """Write a causal language model as a Llama, which transformers loads; a README says what its tokens mean.

    Args:
        model: embedded name, model folder or hub id of a causal model with llama blocks.
        out: new folder to write; an older export is replaced.
        json: print machine-readable results instead of tables.
    """
    from magvit2.interop import export_llama
    from magvit2.lm import CausalLM

    lm = CausalLM.from_pretrained(model)
    export_llama(lm, out)
    config = lm.config
    rows = {
        "parameters": sum(parameter.numel() for parameter in lm.parameters()),
        "vocabulary": config.vocab_size,
        "tokens of a sequence": config.sequence_length,
        "class tokens": f"{lm.offsets[-1]} to {config.vocab_size - 1}, the last of which is none",
        "fingerprint": lm.fingerprint,
        "folder": str(out),
    }
    show(f"{model}: a Llama of {', '.join(map(str, config.factor_sizes))} values and classes", rows, json)
