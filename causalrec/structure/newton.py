"""min loss(W; S) + λ‖W‖₁ subject to h(W) = 0 for many covariances S at once: Newton steps under a multiplier rule."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, Protocol, Self, get_args

import torch
from torch import Tensor

from causalrec.acyclicity import Acyclicity, Exponential, LogDeterminant
from causalrec.errors import InputError
from causalrec.structure import Fits, Problems
from causalrec.structure.rows import Rows, leading

Form = Literal["log_determinant", "exponential"]

_ROUNDING = 1e-4  # ε of |w| ≈ √(w² + ε²), which gives the L1 term a gradient at 0; far under any threshold
_ARMIJO = 1e-4
_HALVINGS = 30
_CHUNK = {"cpu": 2**22, "cuda": 2**28}  # entries of all row Hessians held at once, n³ per problem


class Loss(Protocol):
    """How badly W (m, n, n) explains the covariances S (m, n, n)."""

    def value(self, W: Tensor, S: Tensor) -> Tensor:
        """Return the loss (m,); +inf where it is not defined.

        Args:
            W: weights (m, n, n).
            S: covariances (m, n, n).
        """

    def derivatives(self, W: Tensor, S: Tensor) -> tuple[Tensor, Rows]:
        """Return the gradient (m, n, n) and a positive semidefinite Hessian for each row of W.

        Args:
            W: weights (m, n, n).
            S: covariances (m, n, n).
        """

    def unit(self, value: Tensor, nodes: int) -> Tensor:
        """Return the scale (m,), above 0, against which a decrease of the objective is measured.

        Args:
            value: current objective (m,).
            nodes: n.
        """


class Rule(Protocol):
    """The weight of h: a penalty with its derivatives, for m problems at once, and how it changes after an inner
    problem.
    """

    @property
    def rho(self) -> float | Tensor:
        """The second derivative of the penalty by h, (m,) or one number."""

    def penalty(self, h: Tensor) -> Tensor:
        """Return the penalty (m,).

        Args:
            h: value of the constraint (m,).
        """

    def slope(self, h: Tensor) -> Tensor:
        """Return the derivative of the penalty by h, (m,).

        Args:
            h: value of the constraint (m,).
        """

    def update(self, h: Tensor) -> Self:
        """Return the rule after an inner minimisation.

        Args:
            h: value of the constraint at its end (m,).
        """

    def take(self, which: Tensor) -> Self:
        """Return the rule of some of the problems.

        Args:
            which: index or mask into the m problems.
        """

    def trace(self) -> dict[str, Tensor]:
        """Return its state by name, each (m,), for the record."""


@dataclass(frozen=True)
class Solution:
    """What a solver finds.

    Args:
        W: weights (m, n, n).
        steps: Newton steps taken (m,).
        trace: h and the state of the rule after each of its updates, each (outer, m).
    """

    W: Tensor
    steps: Tensor
    trace: dict[str, Tensor]

    def where(self, which: Tensor, other: "Solution") -> "Solution":
        """Return this one for some problems and another for the rest, with the steps of both.

        Args:
            which: bool (m,), the problems of this one.
            other: the other one.
        """
        rows = max(len(self.trace["h"]), len(other.trace["h"]))
        trace = {
            name: torch.where(which, _extend(self.trace[name], rows), _extend(other.trace[name], rows))
            for name in self.trace
        }
        return Solution(torch.where(which[:, None, None], self.W, other.W), self.steps + other.steps, trace)


@dataclass(frozen=True)
class Solver:
    """The options of every learner that uses this solver.

    Args:
        sparsity: λ, above 0, default 0.02.
        acyclicity: form of h, `log_determinant` (default) or `exponential`.
        s: domain of the log-determinant, in (0, 1], default 0.7, where DAGMA's path ends. A tighter domain keeps out
            long cycles from the start: mean SHD of NOTEARS at s = 1 and 0.7, on fresh draws of ER2 with 1,000 samples,
            is 1.6 and 1.2 (96 draws of 20 nodes), 3.6 and 2.8 (16 draws of 50 nodes).
        tolerance: h at which a problem ends, default 1e-8. The log-determinant with s ≤ 1 is never below the
            exponential, so neither ends above it.
        change: an inner problem ends when the objective, relative to the unit of the loss, decreases by less; default
            1e-4.
        outer: most updates of the rule, default 60.
        inner: most Newton steps between two updates, default 50.
        device: `cpu` (default) or `cuda`; always float64.

    Raises:
        InputError: an option out of range, or a device that is not available.
    """

    sparsity: float = 0.02
    acyclicity: Form = "log_determinant"
    s: float = 0.7
    tolerance: float = 1e-8
    change: float = 1e-4
    outer: int = 60
    inner: int = 50
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.acyclicity not in get_args(Form):
            raise InputError(f"acyclicity is {self.acyclicity!r}; choose one of {', '.join(get_args(Form))}")
        limits = (self.sparsity, self.tolerance, self.change, self.outer, self.inner)
        if not all(0 < value < float("inf") for value in limits):
            raise InputError(f"{self}: sparsity, tolerance, change, outer and inner must be above 0 and finite")
        if not 0 < self.s <= 1:
            raise InputError(f"s = {self.s}; give 0 < s ≤ 1, the largest spectral radius of W∘W (DAGMA ends at 0.7)")
        if self.device.split(":")[0] not in _CHUNK or (self.device != "cpu" and not torch.cuda.is_available()):
            raise InputError(f"device {self.device!r} is not available; give cpu, or cuda if there is a GPU")

    def learn(self, problems: Problems, solve: Callable[[Tensor], Solution]) -> Fits:
        """Solve in parts that fit into memory and return the fits, with h of the exponential.

        A problem that has converged repeats its last values in the later rows of the trace.

        Args:
            problems: m problems of n variables.
            solve: solves covariances (k, n, n).
        """
        size = max(1, _CHUNK[self.device.split(":")[0]] // problems.covariance.shape[1] ** 3)
        S = torch.tensor(problems.covariance, dtype=torch.float64)
        parts = [solve(part.to(self.device)) for part in torch.split(S, size)]
        W, steps = torch.cat([part.W for part in parts]), torch.cat([part.steps for part in parts])
        rows = max(len(part.trace["h"]) for part in parts)
        trace = {
            name: torch.cat([_extend(part.trace[name], rows) for part in parts], 1).cpu().numpy()
            for name in parts[0].trace
        }
        h = trace["h"][-1]
        return Fits(W.cpu().numpy(), h, h <= self.tolerance, steps.cpu().numpy(), trace=trace)

    def follow(self, loss: Loss, S: Tensor, rule: Rule, W: Tensor) -> Solution:
        """Solve inner problems, each started from the last, until h is below its tolerance.

        Args:
            loss: how badly W explains S.
            S: covariances (m, n, n).
            rule: weight of h.
            W: start (m, n, n).
        """
        form: Acyclicity = LogDeterminant(self.s) if self.acyclicity == "log_determinant" else Exponential()
        W, root = W.clone(), leading(S)
        steps = torch.zeros(len(S), dtype=torch.int64, device=S.device)
        running = torch.arange(len(S), device=S.device)
        trace: list[dict[str, Tensor]] = []
        while len(running) and len(trace) < self.outer:
            part = None if root is None else root[running]
            problem = Penalised(loss, form, S[running], self.sparsity, rule.take(running), part)
            W[running], taken = self._minimise(problem, W[running])
            steps[running] += taken
            h = form.value(W).clamp(min=0)
            rule = rule.update(h)
            trace.append({"h": Exponential().value(W), **rule.trace()})
            running = (h > self.tolerance).nonzero().squeeze(1)
        return Solution(W, steps, {name: torch.stack([row[name] for row in trace]) for name in trace[0]})

    def _minimise(self, problem: "Penalised", W: Tensor) -> tuple[Tensor, Tensor]:
        """Take Newton steps from W until each objective stalls; return the minimisers and the steps of each."""
        W = W.clone()
        steps = torch.zeros(len(W), dtype=torch.int64, device=W.device)
        active = torch.arange(len(W), device=W.device)
        for _ in range(self.inner):
            before, direction, decrement = problem.newton(W[active])
            W[active], after = problem.search(W[active], before, direction, decrement)
            steps[active] += 1
            moving = before - after > self.change * problem.loss.unit(before, W.shape[-1])
            active, problem = active[moving], problem.take(moving)
            if not len(active):
                break
        return W, steps


@dataclass(frozen=True)
class Penalised:
    """loss(W; S) + λΣ√(w²+ε²) + penalty(h(W)) of m problems at once.

    A step approximates the Hessian by that of the loss for each row of W, plus diag(λ/|w| + 2 slope ∂h/∂P) with
    P = W∘W, plus ρ∇h∇hᵀ across rows. This is positive definite, and accurate where the penalty is stiff.

    Args:
        loss: how badly W explains S.
        form: form of h.
        S: covariances (m, n, n).
        sparsity: λ.
        rule: weight of h.
        root: what `leading` returns of S.
    """

    loss: Loss
    form: Acyclicity
    S: Tensor
    sparsity: float
    rule: Rule
    root: Tensor | None

    def take(self, which: Tensor) -> "Penalised":
        """Return some of the problems."""
        root = None if self.root is None else self.root[which]
        return replace(self, S=self.S[which], rule=self.rule.take(which), root=root)

    def value(self, W: Tensor, h: Tensor) -> Tensor:
        """Return the objective (m,).

        Args:
            W: weights (m, n, n).
            h: h(W), (m,).
        """
        return self.loss.value(W, self.S) + self.sparsity * _smooth(W).sum((-2, -1)) + self.rule.penalty(h)

    def newton(self, W: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return objective (m,), descent direction (m, n, n) and decrement −⟨gradient, direction⟩ (m,).

        Args:
            W: weights (m, n, n).
        """
        h, h_gradient = self.form.value_and_gradient(W)
        slope = self.rule.slope(h)[:, None, None]
        magnitude = _smooth(W)
        gradient, rows = self.loss.derivatives(W, self.S)
        gradient = gradient + self.sparsity * W / magnitude + slope * h_gradient
        gradient.diagonal(dim1=-2, dim2=-1).zero_()
        curvature = self.sparsity / magnitude + slope * torch.where(W == 0, 0.0, h_gradient / W)
        curvature.diagonal(dim1=-2, dim2=-1).fill_(1e12)
        # Rows are independent except for ρ∇h∇hᵀ; Sherman–Morrison adds it at the cost of one more right-hand side.
        rho = torch.as_tensor(self.rule.rho)
        if rho.any():
            a, b = rows.solve(curvature, torch.stack([gradient, h_gradient], 1), self.root).unbind(1)
            share = rho * (h_gradient * a).sum((-2, -1)) / (1 + rho * (h_gradient * b).sum((-2, -1)))
            direction = share[:, None, None] * b - a
        else:
            direction = -rows.solve(curvature, gradient[:, None], self.root).squeeze(1)
        direction.diagonal(dim1=-2, dim2=-1).zero_()
        return self.value(W, h), direction, -(gradient * direction).sum((-2, -1))

    def search(self, W: Tensor, value: Tensor, direction: Tensor, decrement: Tensor) -> tuple[Tensor, Tensor]:
        """Backtrack to Armijo's condition and return the new W and objective; a problem that finds no descent keeps its
        own.

        Args:
            W: weights (m, n, n).
            value: their objective (m,).
            direction: descent direction (m, n, n).
            decrement: −⟨gradient, direction⟩ (m,).
        """
        W, value, length = W.clone(), value.clone(), 1.0
        left = torch.arange(len(W), device=W.device)
        problem = self
        for _ in range(_HALVINGS):
            trial = W[left] + length * direction[left]
            reached = problem.value(trial, self.form.value(trial))
            enough = reached <= value[left] - _ARMIJO * length * decrement[left]
            W[left[enough]], value[left[enough]] = trial[enough], reached[enough]
            left, problem, length = left[~enough], problem.take(~enough), length / 2
            if not len(left):
                break
        return W, value


def _smooth(W: Tensor) -> Tensor:
    """Return √(w² + ε²)."""
    return (W.square() + _ROUNDING**2).sqrt()


def _extend(rows: Tensor, count: int) -> Tensor:
    """Return `rows` with the last one repeated until there are `count`."""
    return torch.cat([rows, rows[-1:].expand(count - len(rows), -1)])
