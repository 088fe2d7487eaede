"""The bars that findings are held against, and what a run of this size could have seen."""

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

from scipy import special

from bench.errors import InputError
from bench.judge.intervals import Interval

Outcome: TypeAlias = Literal["holds", "fails", "unclear"]
POWER = 0.8
MOST = 10_000  # units beyond which a number says no more than "many"


@dataclass(frozen=True)
class Bar:
    """What an interval must clear to hold or to fail; in between it is unclear.

    Args:
        holds: An interval holds where all of it lies above this, or below it if not `large`.
        fails: An interval fails where all of it lies below this, or above it if not `large`.
        large: Whether large values speak for the claim.

    Raises:
        InputError: A value between the two bars could neither hold nor fail, however narrow its interval.
    """

    holds: float
    fails: float
    large: bool = True

    def __post_init__(self) -> None:
        if (self.fails < self.holds) if self.large else (self.fails > self.holds):
            raise InputError(f"{self}: a value between the two could never be told; let them meet or overlap")

    def judge(self, found: Interval) -> Outcome:
        """What an interval says; where the bars overlap, one that clears both holds.

        Args:
            found: The measured interval.
        """
        if self.large:
            return "holds" if found.above(self.holds) else "fails" if found.below(self.fails) else "unclear"
        return "holds" if found.below(self.holds) else "fails" if found.above(self.fails) else "unclear"

    def units_needed(self, found: Interval) -> int | None:
        """How many units in all would settle the outcome if the estimate stayed as it is.

        Args:
            found: The measured interval, whose width is taken to fall with the root of the number of units.

        Returns:
            The number of units, or None where the interval is unbounded or its estimate lies on the bar.
        """
        sign = 1 if self.large else -1
        distance = max(sign * (found.estimate - self.holds), sign * (self.fails - found.estimate))
        if not found.bounded or distance <= 0:
            return None
        ratio = found.half_width / distance
        return max(found.n, math.ceil(min(found.n * ratio * ratio, 1e15)))  # a product may be infinite, no count is


def detectable(found: Interval) -> float:
    """The least difference that such an interval would have told from none with probability `POWER`.

    Args:
        found: The measured interval.

    Returns:
        (z_level + z_power) / z_level half-widths, by the normal approximation; infinite for one unit.
    """
    z = float(special.ndtri((1 + found.level) / 2))
    return found.half_width * (z + float(special.ndtri(POWER))) / z


def power_words(found: Interval, bar: Bar, units: str | None = None) -> str:
    """Say what the comparison could have seen and, where it is unclear, how many units in all would settle it.

    Args:
        found: The measured interval.
        bar: The bar that it is held against.
        units: What the interval's `n` counts, such as "seeds"; None where its width depends on more than that number.
    """
    if not found.bounded:
        return "one unit says nothing of the spread"
    if found.half_width == 0:
        return "no spread at all"
    seen = f"{100 * POWER:.0f} % power to see {detectable(found):.2g}"
    needed = bar.units_needed(found) if units and bar.judge(found) == "unclear" else None
    if needed is None:
        return seen
    return f"{seen}; {f'about {needed:,}' if needed <= MOST else f'more than {MOST:,}'} {units} would settle it"
