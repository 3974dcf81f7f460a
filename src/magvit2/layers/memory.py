"""What a causal layer remembers between two chunks of one clip."""

from torch import Tensor, nn


class Memory:
    """The tails that causal layers keep from chunk to chunk: one for each clip that is being streamed.

    A layer that finds no tail of its own is at the clip's first chunk.
    """

    def __init__(self) -> None:
        self._tails: dict[int, Tensor] = {}

    def get(self, layer: nn.Module) -> Tensor | None:
        """Return the frames that `layer` kept from the chunk before, or None at the first chunk."""
        return self._tails.get(id(layer))

    def put(self, layer: nn.Module, tail: Tensor) -> None:
        """Keep `tail`, frames [b, c, n, h, w], for the next chunk; n may be 0."""
        self._tails[id(layer)] = tail
