"""Tables of what can be named, such as learners, recommenders and datasets."""

from collections.abc import Mapping
from typing import TypeAlias, TypeVar

T = TypeVar("T")
# A table whose entries code looks up by a name that it is given; no entry counts as code of what only looks it up.
Registry: TypeAlias = Mapping[str, T]
