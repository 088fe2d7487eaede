"""Shares of a plan for machines that share nothing."""

from dataclasses import dataclass

from bench.cells.unit import Cell
from bench.errors import InputError


@dataclass(frozen=True)
class Shard:
    """The cells whose key, read as a number, is `index` - 1 modulo `count`, whatever else is planned or has run.

    Args:
        index: which share, from 1 to `count`.
        count: how many shares the plan is cut into.
    """

    index: int
    count: int

    def of(self, cells: list[Cell]) -> list[Cell]:
        """The cells of this share, each once.

        Args:
            cells: the whole plan; equal cells may repeat.
        """
        return [cell for cell in dict.fromkeys(cells) if int(cell.key, 16) % self.count == self.index - 1]


def read_shard(text: str) -> Shard:
    """The shard that a text such as "2/4" names.

    Args:
        text: two whole numbers with a slash between them, 1 <= first <= second.

    Raises:
        InputError: the text is anything else.
    """
    index, _, count = text.partition("/")
    if not (text.isascii() and index.isdigit() and count.isdigit() and 1 <= int(index) <= int(count)):
        raise InputError(f"shard is {text!r}; give i/n, such as 1/4 for the first of four")
    return Shard(int(index), int(count))
