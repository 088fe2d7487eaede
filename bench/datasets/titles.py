"""Titles, series and genres of films, for the datasets whose owner publishes them beside the ratings."""

import re
from dataclasses import dataclass
from pathlib import Path

from bench.errors import DataMissing, InputError

TITLED = ("ml-100k", "ml-1m")
# As u.genre has them; the first one is "unknown" and is nothing that two films could share.
GENRES = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip
_NUMBER = r"(?:\d{1,2}|[ivx]{1,4}|one|two|three|four|five|six)"
_YEAR = re.compile(r"\s*\(\d{4}\)\s*$")
_ALIAS = re.compile(r"\s*\([^()]*\)\s*$")
_ARTICLE = re.compile(r"^(?:the|a|an)\s+|,\s*(?:the|a|an)$")
_SEQUEL = re.compile(rf"\s+(?:(?:part|chapter|episode|vol\.?|volume)\s+)?{_NUMBER}(?:\s*[½]|\s*1/2)?$")


@dataclass(frozen=True)
class Film:
    """A film.

    Args:
        title: As published.
        series: The stem that it shares with its sequels.
        genres: Some of `GENRES`.
    """

    title: str
    series: str
    genres: frozenset[str]


def read_films(name: str, folder: Path, copy: str) -> dict[str, Film]:
    """Read the films of a dataset, by item label.

    Args:
        name: One of `TITLED`.
        folder: The data folder.
        copy: The file of actions in it whose labels are wanted.

    Raises:
        DataMissing: The owner's file of titles is not there.
        InputError: The dataset has no titles, or a line does not fit.
    """
    if name not in TITLED:
        raise InputError(f"{name} has no titles; datasets that have: {', '.join(TITLED)}")
    if name == "ml-100k":
        rows = _lines(folder / "ml-100k/u.item", "|", 5 + len(GENRES))
        marked = {row[0]: zip(GENRES[1:], row[6:], strict=True) for row in rows}
        return {row[0]: _film(row[1], [genre for genre, mark in marked[row[0]] if mark == "1"]) for row in rows}
    films = {row[0]: _film(row[1], row[2].split("|")) for row in _lines(folder / "ml-1m/movies.dat", "::", 3)}
    if not copy.endswith("sasrec.txt"):
        return films
    path = folder / "ml-1m/sasrec_to_movie_id.txt"
    labels = _lines(path, " ", 2)
    if unknown := [row[1] for row in labels if row[1] not in films]:
        raise InputError(f"{path}: films {', '.join(unknown[:3])} are not in movies.dat; use the two of one release")
    return {row[0]: films[row[1]] for row in labels}


def _film(title: str, genres: list[str]) -> Film:
    return Film(title, stem(title), frozenset(genres))


def stem(title: str) -> str:
    """Return what a title shares with its sequels: no year, other name, article, number or subtitle, in lower case.

    "Godfather: Part II, The (1974)" and "Godfather, The (1972)" give "godfather". Films of one series under
    different names stay apart, and films of one name that are no series come together: both make sharing rarer or
    commoner, but equally for every graph.

    Args:
        title: As published.
    """
    text = _YEAR.sub("", title).lower()
    while (shorter := _ALIAS.sub("", text)) not in ("", text):
        text = shorter
    for part in (re.split(r":\s|\s-\s", text)[0], text):
        bare = _ARTICLE.sub("", part.strip())
        bare = _SEQUEL.sub("", _ARTICLE.sub("", bare)).strip(" ,.!?")
        if bare:
            return bare
    return text


def _lines(path: Path, separator: str, columns: int) -> list[list[str]]:
    try:
        text = path.read_text(encoding="iso-8859-1")
    except FileNotFoundError as error:
        raise DataMissing(f"titles: {path} is not there; put the owner's file there") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    rows = []
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), start=1):
        if line:
            rows.append(line.split(separator))
            if len(rows[-1]) != columns:
                raise InputError(f"{path}, line {number}: {len(rows[-1])} columns; expected {columns}")
    return rows
