"""The patch stem: pixels of small squares as channels, as they are or in the Haar wavelet basis."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from magvit2.layers.resample import depth_to_space, space_to_depth

StemKind = Literal["patch", "haar"]


class Patches(nn.Module):
    """Cuts frames into squares of `size` pixels a side, and puts them together again; channels are (row, column, 3).

    In the basis "haar" the rows and columns of a square are Haar coefficients, the mean first, orthonormal.
    """

    def __init__(self, size: int, kind: StemKind) -> None:
        super().__init__()
        self.size = size
        self.kind = kind
        self.factors = (1, size, size)

    def cut(self, clips: Float[Tensor, "b 3 T H W"]) -> Float[Tensor, "b d T h w"]:
        """Return the squares of clips as channels."""
        x = space_to_depth(clips, self.factors)
        return x if self.kind == "patch" else _change(x, self._basis(x))

    def join(self, x: Float[Tensor, "b d T h w"]) -> Float[Tensor, "b 3 T H W"]:
        """Return clips from their squares: the inverse of `cut`."""
        return depth_to_space(x if self.kind == "patch" else _change(x, self._basis(x).T), self.factors)

    def _basis(self, x: Tensor) -> Float[Tensor, "p p"]:
        rows = haar_matrix(self.size).to(x)
        return torch.kron(rows, rows)


def haar_matrix(size: int) -> Float[Tensor, "{size} {size}"]:
    """Return the orthonormal Haar transform of `size` values, a power of two; the first row is their scaled mean."""
    matrix = torch.ones(1, 1)
    while matrix.shape[0] < size:
        sums = torch.kron(matrix, torch.tensor([1.0, 1.0]))
        differences = torch.kron(torch.eye(matrix.shape[0]), torch.tensor([1.0, -1.0]))
        matrix = torch.cat([sums, differences]) / 2**0.5
    return matrix


def _change(x: Float[Tensor, "b d t h w"], basis: Float[Tensor, "p p"]) -> Float[Tensor, "b d t h w"]:
    """Apply a matrix to the pixels of every square; colours stay by themselves."""
    last = x.permute(0, 2, 3, 4, 1).unflatten(-1, (basis.shape[0], -1))
    changed = torch.einsum("qp,bthwpc->bthwqc", basis, last)
    return changed.flatten(-2).permute(0, 4, 1, 2, 3)
