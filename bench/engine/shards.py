"""Shares of a plan for machines that share nothing."""

from dataclasses import dataclass

from bench.cells.unit import Cell
from bench.errors import InputError


@dataclass(frozen=True)
class Shard:
    """The cells whose key, as a number, is `index` - 1 modulo `count`: the same whatever else is planned or there."""

    index: int
    count: int

    def of(self, cells: list[Cell]) -> list[Cell]:
        """Its share of the cells, each once."""
        return [cell for cell in dict.fromkeys(cells) if int(cell.key, 16) % self.count == self.index - 1]


def read_shard(text: str) -> Shard:
    """The shard that "2/4" names; InputError for anything else than two whole numbers, 1 <= first <= second."""
    index, _, count = text.partition("/")
    if not (text.isascii() and index.isdigit() and count.isdigit() and 1 <= int(index) <= int(count)):
        raise InputError(f"shard is {text!r}; give i/n, such as 1/4 for the first of four")
    return Shard(int(index), int(count))
