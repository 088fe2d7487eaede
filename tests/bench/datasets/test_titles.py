"""Titles of films: stems by hand, the owner's files in their own form, what is not there."""

import pytest

from bench.datasets.titles import GENRES, read_films, stem
from bench.errors import DataMissing, InputError


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("Godfather, The (1972)", "godfather"),
        ("Godfather: Part II, The (1974)", "godfather"),
        ("Die Hard: With a Vengeance (1995)", "die hard"),
        ("Alien 3 (1992)", "alien"),
        ("Back to the Future Part III (1990)", "back to the future"),
        ("Karate Kid III, The (1989)", "karate kid"),
        ("Star Wars: Episode V - The Empire Strikes Back (1980)", "star wars"),
        ("Godzilla (Gojira) (1954)", "godzilla"),
        ("Airplane! (1980)", "airplane"),
        ("Apollo 13 (1995)", "apollo"),
        ("101 Dalmatians (1996)", "101 dalmatians"),
        ("1984", "1984"),
        ("(1997)", ""),
    ],
)
def test_stems_by_hand(title, expected):
    assert stem(title) == expected


def write(folder, name, text):
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text.encode("iso-8859-1"))


def test_movielens_100k(tmp_path):
    marks = ["0"] * len(GENRES)
    marks[GENRES.index("unknown")] = marks[GENRES.index("War")] = "1"
    write(tmp_path, "ml-100k/u.item", "|".join(["7", "Misérables, Les (1995)", "", "", "", *marks]) + "\n")
    (label, film), = read_films("ml-100k", tmp_path, "ml-100k/u.data").items()
    assert (label, film.title, film.genres) == ("7", "Misérables, Les (1995)", {"War"})


def test_movielens_1m_by_its_own_ids_and_by_those_of_sasrec(tmp_path):
    write(tmp_path, "ml-1m/movies.dat", "1::Toy Story (1995)::Animation|Comedy\n30::Heat (1995)::Action\n")
    assert set(read_films("ml-1m", tmp_path, "ml-1m/ratings.dat")) == {"1", "30"}
    with pytest.raises(DataMissing, match=r"sasrec_to_movie_id\.txt is not there"):
        read_films("ml-1m", tmp_path, "ml-1m/sasrec.txt")
    write(tmp_path, "ml-1m/sasrec_to_movie_id.txt", "1 30\n2 1\n")
    films = read_films("ml-1m", tmp_path, "ml-1m/sasrec.txt")
    assert {label: film.title for label, film in films.items()} == {"1": "Heat (1995)", "2": "Toy Story (1995)"}
    assert films["2"].genres == {"Animation", "Comedy"}
    write(tmp_path, "ml-1m/sasrec_to_movie_id.txt", "1 31\n")
    with pytest.raises(InputError, match=r"films 31 are not in movies\.dat"):
        read_films("ml-1m", tmp_path, "ml-1m/sasrec.txt")


def test_what_does_not_read_is_named_by_line(tmp_path):
    write(tmp_path, "ml-1m/movies.dat", "1::Toy Story (1995)::Comedy\n\n2::Heat (1995)\n")
    with pytest.raises(InputError, match=r"movies\.dat, line 3: 2 columns; expected 3"):
        read_films("ml-1m", tmp_path, "ml-1m/ratings.dat")
    with pytest.raises(InputError, match="beauty has no titles; datasets that have: ml-100k, ml-1m"):
        read_films("beauty", tmp_path, "beauty/s3rec.txt")
