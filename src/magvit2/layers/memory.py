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
        """Keep a copy of `tail`, frames [b, c, n, h, w], for the next chunk; n may be 0.

        It takes the place of the one before: small tensors that come and go between large ones would leave gaps.
        """
        kept = self._tails.get(id(layer))
        if kept is not None and kept.shape == tail.shape:
            kept.copy_(tail)
        else:
            self._tails[id(layer)] = tail.clone()
