"""The Newton equation of every row of W, all of which share one covariance: solved by factors or by iteration."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

_DENSE = 64  # up to this many nodes every row Hessian is factored, beyond it the Newton equation is solved by iteration
_RANK = 32  # leading eigenvectors of S in the preconditioner of that iteration
_ITERATIONS, _RESIDUAL = 30, 0.1  # of it: the most, and the share of the residual at which a row ends


@dataclass(frozen=True)
class Rows:
    """A Hessian for each row i of W: precision_i S + a_i a_iᵀ.

    Args:
        S: covariances (m, n, n).
        precision: of each row, (m, n); None (default) is 1.
        a: one vector per row, (m, n, n); None (default) is 0.
    """

    S: Tensor
    precision: Tensor | None = None
    a: Tensor | None = None

    def dense(self) -> Tensor:
        """Return all of them, (m, n or 1, n, n)."""
        rows = self.S[:, None] if self.precision is None else self.precision[..., None, None] * self.S[:, None]
        return rows if self.a is None else rows + self.a[..., None] * self.a[..., None, :]

    def times(self, V: Tensor) -> Tensor:
        """Return the product of each with its row of V.

        Args:
            V: (m, k, n, n), k right-hand sides per row.
        """
        product = V @ self.S[:, None]
        if self.precision is not None:
            product = self.precision[:, None, :, None] * product
        if self.a is not None:
            product = product + (V * self.a[:, None]).sum(-1, keepdim=True) * self.a[:, None]
        return product

    def solve(self, diagonal: Tensor, right: Tensor, root: Tensor | None) -> Tensor:
        """Solve (Hessian + diagonal) x = right for every row, exactly or, for a search direction, nearly.

        Beyond `_DENSE` nodes by conjugate gradients. Their preconditioner has the leading eigenvectors of S in full and
        of the rest the diagonal, and is inverted by Woodbury's identity: O(n²) for all rows but for one product with
        their squares, where factoring all Hessians is O(n⁴).

        Args:
            diagonal: above 0, (m, n, n), a row per row of W.
            right: k right-hand sides per row, (m, k, n, n).
            root: what `leading` returns of S; None solves exactly.
        """
        if root is None:
            factor, _ = torch.linalg.cholesky_ex(self.dense() + torch.diag_embed(diagonal))
            solved: Tensor = torch.cholesky_solve(right.movedim(1, -1), factor)
            return solved.movedim(-1, 1)
        precondition = self._preconditioner(diagonal, root)
        diagonal = diagonal[:, None]
        x, residual = torch.zeros_like(right), right
        z = precondition(residual)
        direction, size = z, (residual * z).sum(-1, keepdim=True)
        first = size
        for _ in range(_ITERATIONS):
            going = size > _RESIDUAL**2 * first
            if not going.any():
                break
            product = self.times(direction) + diagonal * direction
            step = torch.where(going, size / (direction * product).sum(-1, keepdim=True), 0.0)
            x, residual = x + step * direction, residual - step * product
            z = precondition(residual)
            now = (residual * z).sum(-1, keepdim=True)
            direction, size = z + torch.where(going, now / size, 0.0) * direction, torch.where(going, now, size)
        return x

    def _preconditioner(self, diagonal: Tensor, root: Tensor) -> Callable[[Tensor], Tensor]:
        """The inverse of diagonal + precision_i (U Uᵀ + the diagonal of S − U Uᵀ), U the root, for each row."""
        m, n, rank = root.shape
        variance = (self.S.diagonal(dim1=-2, dim2=-1) - root.square().sum(-1)).clamp(min=0)
        scale = torch.ones_like(diagonal[..., :1]) if self.precision is None else self.precision[..., None]
        inverse = 1 / (diagonal + scale * variance[:, None])
        squares = (root[..., :, None] * root[..., None, :]).flatten(-2)
        inner = scale * (inverse @ squares)
        inner = inner.view(m, n, rank, rank) + torch.eye(rank, dtype=root.dtype, device=root.device)
        inner = torch.linalg.inv_ex(inner).inverse * scale[..., None]

        def apply(right: Tensor) -> Tensor:
            first = right * inverse[:, None]
            along: Tensor = inner[:, None] @ (first @ root[:, None])[..., None]
            return first - (along.squeeze(-1) @ root[:, None].mT) * inverse[:, None]

        return apply


def leading(S: Tensor) -> Tensor | None:
    """Return U (m, n, rank) with U Uᵀ the leading part of S; None for so few nodes that nothing is gained.

    Args:
        S: covariances (m, n, n).
    """
    if S.shape[-1] <= _DENSE:
        return None
    values, vectors = torch.linalg.eigh(S)
    root: Tensor = vectors[..., -_RANK:] * values[..., None, -_RANK:].clamp(min=0).sqrt()
    return root
