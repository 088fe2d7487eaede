"""Readers of published forms: a file of actions -> `Interactions`.

Every reader returns rows in file order and raises InputError naming file and line for whatever does not fit the form:
nothing is skipped or repaired. The last line must have its line end, since without it nobody can tell a whole file from
one that was cut short. Files of a user's own, of which less is known, are read by `own.py`.
"""

from pathlib import Path

from bench.datasets.blocks import read_blocks, read_plain, with_tabs
from bench.datasets.columns import (
    ANY_ID,
    NUMBER,
    NUMERIC_ID,
    ONE,
    RATING,
    UTC_TIME,
    Column,
    Form,
    Ids,
    Numbers,
    UtcTimes,
)
from bench.datasets.own import FileForm, gather_lists, interactions, read_own
from causalrec.interactions import Interactions


def read_movielens_100k(path: Path) -> Interactions:
    """Read `u.data` of MovieLens-100K: user, item, rating, unix time, tabs between, no header.

    Args:
        path: The file.

    Raises:
        InputError: The file cannot be read or a line does not fit.
    """
    return _read_published(path, "\t", 4, Column("the rating", RATING), Numbers("the time", NUMBER))


def read_movielens_1m(path: Path) -> Interactions:
    """Read `ratings.dat` of MovieLens-1M: `user::item::rating::time`, no header.

    Args:
        path: The file.

    Raises:
        InputError: The file cannot be read or a line does not fit.
    """
    checked = Column("the rating", RATING)
    return _read_published(path, "::", 4, checked, Numbers("the time", NUMBER), encoding="latin-1")


def read_user_item(path: Path) -> Interactions:
    """Read SASRec's form: `user item`, one space between, no header; file order is time order.

    Args:
        path: The file.

    Raises:
        InputError: The file cannot be read or a line does not fit.
    """
    return _read_published(path, " ", 2)


def read_foursquare(path: Path) -> Interactions:
    """Read TSMC2014 check-ins as published (Yang et al. 2015), tabs between, no header, ISO-8859-1.

    User, venue, category id, category name, latitude, longitude, offset from UTC in minutes, UTC time. The time
    becomes seconds since 1970; the offset is not applied, since order in time does not depend on it.

    Args:
        path: The file.

    Raises:
        InputError: The file cannot be read or a line does not fit.
    """
    times = UtcTimes("the time", UTC_TIME)
    return _read_published(path, "\t", 8, times=times, item=ANY_ID, encoding="latin-1")


def read_kgrec(path: Path) -> Interactions:
    """Read `implicit_lf_dataset.csv` of KGRec-music: user, item, 1, tabs between, no header; file order is time order.

    Args:
        path: The file.

    Raises:
        InputError: The file cannot be read or a line does not fit.
    """
    return _read_published(path, "\t", 3, Column("the third column", ONE))


def read_lists(path: Path) -> Interactions:
    """Read one line per user, `user item item ...`, one space between; the order in the line is time order.

    Args:
        path: The file.

    Raises:
        InputError: The file cannot be read, a line does not fit, or a user has two lines.
    """
    return gather_lists(path, read_blocks(path), " ", NUMERIC_ID)


def read_table(path: Path, *, user: str, item: str, time: str | None = None) -> Interactions:
    """Read a table with a header line, by the names of its columns, see `own.read_own`.

    Args:
        path: The file, UTF-8.
        user: Name of the column of users; ids are any text that is not empty and has no line end.
        item: Name of the column of items; ids likewise.
        time: Name of the column of times, numbers or dates. Default: file order is time order.

    Raises:
        InputError: The file cannot be read, a column is not there or a line does not fit.
    """
    return read_own(path, FileForm(user, item, time or "none"), strict=True).interactions


def _read_published(
    path: Path, sep: str, width: int, third: Column | None = None, times: Numbers | UtcTimes | None = None,
    item: Form = NUMERIC_ID, encoding: str = "utf-8",
) -> Interactions:  # fmt: skip
    """User, item, perhaps a third column that is checked, and perhaps times, in the last of `width` columns."""
    users, items = Ids("the user", NUMERIC_ID), Ids("the item", item)
    columns = [(place, column) for place, column in ((2, third), (width - 1, times)) if column is not None]
    blocks = read_blocks(path, encoding)
    if len(sep) > 1:
        blocks, sep = with_tabs(path, blocks, sep), "\t"
    read_plain(path, blocks, sep, width, [*columns, (0, users), (1, items)], encoding)
    return interactions(users, items, None if times is None else times.times())
