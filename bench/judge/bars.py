"""What is measured for a claim, and what an interval of it comes to: outcomes that no two of which overlap."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from bench.judge.intervals import Interval

Outcome: TypeAlias = Literal[
    "as claimed", "smaller than claimed", "no effect", "not above the bar", "opposite", "undecided"
]
# From the best for a claim to the worst; what is against it comes after what is open.
ORDER: tuple[Outcome, ...] = (
    "as claimed", "smaller than claimed", "undecided", "not above the bar", "no effect", "opposite",
)  # fmt: skip
FOR, AGAINST = ORDER[:2], ORDER[3:]
MOST = 10_000  # units beyond which a number says no more than "many"
TRUTHS = ("stated", "none", "opposite")


@dataclass(frozen=True)
class Part:
    """A measure of a claim, in which large values speak for it unless `large` says otherwise.

    It is an effect, with the smallest size of interest `sesoi` and what the paper claims, or a bound, with its `bar`:
    of a bound only the side that breaks it speaks against the claim.

    Args:
        measure: What is measured, in words.
        unit: Of the measure, such as "%"; "" for a plain number.
        reason: Why `sesoi` or `bar` is what it is.
        units: What the interval's `n` counts: "worlds", "sweep worlds", "draws", "seeds", "repeats", or "runs", which
            are worlds or seeds; "" for nothing.
        sesoi: Smallest effect of interest, > 0; None for a bound.
        claimed: The paper's figure for an effect. Default none: `sesoi` stands for it.
        bar: What a bound has to clear; None for an effect.
        large: Whether a bound is cleared from above. Default True.
        essential: Whether it decides the claim. Default True.
        interval: How its interval is made: "t", "share" (Clopper-Pearson), "crossed" seeds and users, or "sequence",
            of a number of worlds that grows until it decides.
        truths: What the measure is if the claim is true as stated, if there is nothing, and if the opposite is true.
            Default of an effect: `claimed` or twice `sesoi`, 0, and minus the first.
        spread: The standard deviation of a unit (of "crossed" the half-width) where no run tells it. Default None.
    """

    measure: str
    unit: str
    reason: str
    units: str = ""
    sesoi: float | None = None
    claimed: float | None = None
    bar: float | None = None
    large: bool = True
    essential: bool = True
    interval: Literal["t", "share", "crossed", "sequence"] = "t"
    truths: Mapping[str, float] = field(default_factory=dict)
    spread: float | None = None

    def __post_init__(self) -> None:
        numbers = (self.sesoi, self.claimed, self.bar, self.spread, *self.truths.values())
        if not all(math.isfinite(number) for number in numbers if number is not None):
            raise ValueError("its figures must be finite numbers")
        if self.spread is not None and self.spread <= 0:
            raise ValueError("spread must be above 0")
        if (self.sesoi is None) == (self.bar is None):
            raise ValueError("give either sesoi, of an effect, or bar, of a bound")
        if self.sesoi is not None and not (self.sesoi > 0 and self.large):
            raise ValueError("sesoi must be above 0, and the sign such that large values speak for the claim")
        if not self.reason:
            raise ValueError("say the reason of sesoi or bar")
        if self.claimed is not None and (self.sesoi is None or self.claimed < self.sesoi):
            raise ValueError("claimed is of an effect, and not below sesoi")
        if set(self.truths) != set(TRUTHS) and (self.truths or self.bar is not None):
            raise ValueError(f"truths must have {', '.join(TRUTHS)}")

    def truth(self, which: str) -> float:
        """What the measure is under a truth.

        Args:
            which: One of `TRUTHS`.
        """
        if self.truths:
            return self.truths[which]
        size = self.claimed or 2 * (self.sesoi or 0.0)
        return {"stated": size, "none": 0.0, "opposite": -size}[which]

    def judge(self, found: Interval) -> Outcome:
        """What an interval comes to.

        Args:
            found: The measured interval, in this part's unit.
        """
        if self.bar is not None:
            clear, broken = (found.low > self.bar, found.high <= self.bar)
            if not self.large:
                clear, broken = (found.high < self.bar, found.low >= self.bar)
            return "as claimed" if clear else "not above the bar" if broken else "undecided"
        sesoi = self.sesoi or 0.0
        if found.low > sesoi:
            return "as claimed" if found.high >= (self.claimed or sesoi) else "smaller than claimed"
        if found.high < -sesoi:
            return "opposite"
        if found.high <= sesoi:
            return "no effect" if found.low >= -sesoi else "not above the bar"
        return "undecided"

    @property
    def reachable(self) -> tuple[Outcome, ...]:
        """The outcomes that it allows."""
        if self.bar is not None:
            return ("as claimed", "not above the bar", "undecided")
        smaller = self.claimed is not None and self.claimed > (self.sesoi or 0.0)
        return tuple(outcome for outcome in ORDER if smaller or outcome != "smaller than claimed")

    @property
    def asked(self) -> str:
        """What it asks, in words."""
        unit = f" {self.unit}" if self.unit and self.interval != "share" else ""
        if self.bar is not None:
            return f"{'above' if self.large else 'below'} {self.bar:g}{unit}"
        claimed = f", {self.claimed:g}{unit} claimed" if self.claimed is not None else ""
        return f"above {self.sesoi:g}{unit}{claimed}"


def settle_words(part: Part, found: Interval) -> str:
    """How many units in all would settle an undecided outcome if the estimate stayed as it is; "" where none is known.

    Args:
        part: What was measured.
        found: Its interval, whose width is taken to fall with the root of the number of units.
    """
    bar = part.bar if part.bar is not None else part.sesoi or 0.0  # an interval on one side of it is decided
    distance = abs(found.estimate - bar)
    if not found.bounded:
        return "one unit says nothing of the spread"
    if not part.units or part.interval == "crossed" or distance == 0:
        return ""
    ratio = found.half_width / distance
    needed = max(found.n + 1, math.ceil(min(found.n * ratio * ratio, 1e15)))
    many = f"about {needed:,}" if needed <= MOST else f"more than {MOST:,}"
    return f"{many} {part.units.split()[-1]} would settle it"
