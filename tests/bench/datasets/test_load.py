"""The named datasets: found, prepared and described; counts of the real files where they are at hand."""

from collections import Counter
from pathlib import Path

import pytest

from bench.datasets.catalogue import DATASETS, find
from bench.datasets.listing import check
from bench.datasets.load import data_folder, file_sha256, load, load_own
from bench.errors import DataMissing, InputError
from causalrec.interactions import check_leaks, global_temporal, leave_one_out

Counts = tuple[int, int, int]


def put(folder: Path, path: str, text: str) -> Path:
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_text(text)
    return folder / path


OFFICIAL = {
    "ml-100k": ("ml-100k/u.data", "{user}\t{item}\t4\t{time}"),
    "ml-1m": ("ml-1m/ratings.dat", "{user}::{item}::4::{time}"),
    "foursquare-nyc": (
        "foursquare-nyc/dataset_TSMC2014_NYC.txt",
        "{user}\t{item}\tc\tBar\t40.7\t-74.0\t-240\tTue Apr 03 18:{time}:09 +0000 2012",
    ),
    "foursquare-tky": (
        "foursquare-tky/dataset_TSMC2014_TKY.txt",
        "{user}\t{item}\tc\tBar\t35.7\t139.0\t540\tTue Apr 03 18:{time}:09 +0000 2012",
    ),
    "kgrec-music": ("kgrec-music/implicit_lf_dataset.csv", "{user}\t{item}\t1"),
}


def blocks(line: str) -> str:
    """Three users by three items, so that the 2-core is whole, after a user and an item too many."""
    pairs = [("9", "9"), *((user, item) for user in "321" for item in "213")]
    return "".join(line.format(user=user, item=item, time=10 + at) + "\n" for at, (user, item) in enumerate(pairs))


@pytest.mark.parametrize("name", OFFICIAL)
def test_the_official_forms_load(name: str, tmp_path: Path) -> None:
    path = put(tmp_path, OFFICIAL[name][0], blocks(OFFICIAL[name][1]))
    loaded = load(name, tmp_path, user_core=2, item_core=2)
    assert [loaded.sequences.row(user).tolist() for user in range(3)] == [[2, 1, 3]] * 3
    told = loaded.provenance
    assert (told.dataset, told.file, told.file_sha256) == (name, OFFICIAL[name][0], file_sha256(path))
    assert (told.user_core, told.item_core, told.repeats) == (2, 2, find(name).repeats)
    known = "no hash is known" if name == "kgrec-music" else "differs from the known file (the official file)"
    assert told.copy == known
    assert told.order.startswith("file order" if name == "kgrec-music" else "unix time")
    assert told.statistics["actions"] == 9


def test_beauty_and_sasrec_forms_load(tmp_path: Path) -> None:
    put(tmp_path, "beauty/s3rec.txt", "1 5 6 7\n2 7 5\n")
    put(tmp_path, "ml-1m/sasrec.txt", "1 5\n1 6\n2 5\n")
    assert load("beauty", tmp_path, user_core=1, item_core=1).sequences.row(1).tolist() == [3, 1]
    loaded = load("ml-1m", tmp_path, user_core=1, item_core=1)
    assert loaded.provenance.file == "ml-1m/sasrec.txt"
    assert loaded.sequences.times is None


def test_the_first_copy_found_is_used(tmp_path: Path) -> None:
    put(tmp_path, "ml-1m/sasrec.txt", "1 5\n1 6\n2 5\n")
    put(tmp_path, "ml-1m/ratings.dat", "1::5::3::7\n")
    assert load("ml-1m", tmp_path, user_core=1, item_core=1).provenance.file == "ml-1m/ratings.dat"


def test_repeats_are_declared_and_change_the_data(tmp_path: Path) -> None:
    header = "user\tvenue\tcat\tlat\tlon\tunix_time\n"
    rows = "1\ta\t0\t0\t0\t5\n1\ta\t0\t0\t0\t6\n1\tb\t0\t0\t0\t7\n"
    put(tmp_path, "foursquare-nyc/checkins_venues5.tsv", header + rows)
    dropped = load("foursquare-nyc", tmp_path, repeats="dropped", user_core=1, item_core=1)
    kept = load("foursquare-nyc", tmp_path, user_core=1, item_core=1)
    assert (dropped.provenance.repeats, kept.provenance.repeats) == ("dropped", "kept")
    assert (len(dropped.sequences.items), len(kept.sequences.items)) == (2, 3)
    assert dropped.provenance.content_hash != kept.provenance.content_hash
    with pytest.raises(InputError, match="repeats must be one of kept, dropped, got 'some'"):
        load("foursquare-nyc", tmp_path, repeats="some")


def test_what_is_missing_is_told_with_the_way_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(DataMissing) as caught:
        load("ml-1m", tmp_path)
    for part in ("ml-1m/ratings.dat", "ml-1m/sasrec.txt", "python cli.py data get ml-1m", "--data-dir"):
        assert part in str(caught.value)
    with pytest.raises(InputError, match="no dataset 'netflix'; choose from ml-100k, ml-1m, foursquare-nyc"):
        load("netflix", tmp_path)


def test_an_empty_result_is_refused(tmp_path: Path) -> None:
    put(tmp_path, "ml-100k/u.data", "1\t2\t3\t4\n")
    with pytest.raises(InputError, match=r"nothing is left of 1 actions at user_core=5.*lower the cores"):
        load("ml-100k", tmp_path)


def test_an_own_file_loads(tmp_path: Path) -> None:
    table = put(tmp_path, "mine.csv", "when,who,what\n3,ann,x\n1,ann,y\n2,bob,x\n")
    loaded = load_own(table, user="who", item="what", time="when", user_core=1, item_core=1)
    assert loaded.sequences.row(0).tolist() == [2, 1]
    assert loaded.provenance.dataset == "own file"
    assert loaded.provenance.order == "'when': whole numbers, as seconds; ties keep file order"
    assert loaded.provenance.reader == (
        "table separated by comma (found), users from 'who', items from 'what', times from 'when'"
    )
    untimed = load_own(table, user="who", item="what", user_core=1, item_core=1)
    assert untimed.provenance.order == "file order (no column is named as times are)"
    inter = put(tmp_path, "mine.inter", "who:token\twhat:token\nann\tx\nann\ty\n")
    assert load_own(inter, user="who", item="what", user_core=1, item_core=1).sequences.row(0).tolist() == [1, 2]


def test_the_data_folder_is_the_option_then_the_variable_then_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAUSALREC_DATA", "/elsewhere")
    assert data_folder("/here") == Path("/here")
    assert data_folder() == Path("/elsewhere")
    monkeypatch.delenv("CAUSALREC_DATA")
    assert data_folder() == Path("data")


def test_check_has_a_row_for_every_dataset(tmp_path: Path) -> None:
    put(tmp_path, "ml-100k/u.data", "1\t2\t3\t4\n")
    put(tmp_path, "kgrec-music/implicit_lf_dataset.csv", "1\t2\t9\n")
    rows = {row.name: row for row in check(tmp_path)}
    assert list(rows) == list(DATASETS)
    assert not any(row.ok for row in rows.values())
    assert rows["ml-100k"].state.startswith("differs from the known file")
    assert rows["ml-100k"].counts == (1, 1, 1)
    assert "line 1: the third column is '9'" in rows["kgrec-music"].state
    assert rows["beauty"].state == "missing"
    put(tmp_path, "kgrec-music/implicit_lf_dataset.csv", "1\t2\t1\n")
    fewer = next(row for row in check(tmp_path) if row.name == "kgrec-music")
    assert (fewer.state, fewer.ok, fewer.counts) == ("no hash is known", False, (1, 1, 1))
    assert [row.name for row in check(tmp_path, read=False) if row.ok] == ["ml-100k", "kgrec-music"]


def test_every_entry_is_complete() -> None:
    for name, dataset in DATASETS.items():
        assert dataset.name == name
        assert dataset.page.startswith("https://")
        assert dataset.repeats in {"kept", "dropped"}
        paths = [copy.path for copy in dataset.copies]
        assert all(path.startswith(f"{name}/") for path in paths)
        assert all(len(copy.sha256) == 64 for copy in dataset.copies if copy.sha256)
        if dataset.archive is not None:
            assert dataset.archive.address.startswith("https://")
            assert paths[0] in dataset.archive.members.values()
    assert max(Counter(copy.path for dataset in DATASETS.values() for copy in dataset.copies).values()) == 1


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("ml-100k", {}, (943, 1_349, 99_287)),
        ("foursquare-nyc", {}, (1_083, 5_135, 147_938)),
        ("foursquare-nyc", {"repeats": "dropped", "item_core": 5}, (1_062, 3_895, 40_825)),
        ("foursquare-nyc", {"item_core": 5}, (1_083, 9_989, 179_468)),
        ("ml-1m", {}, (6_040, 3_416, 999_611)),
        ("beauty", {}, (22_363, 12_101, 198_502)),
    ],
)
def test_real_counts(real: Path, name: str, options: dict[str, int], expected: Counts) -> None:
    dataset = find(name)
    copy = dataset.found(real)
    if copy is None:
        pytest.skip(f"{name} is not in {real}")
    sequences = load(name, real, **options).sequences
    assert (len(sequences), sequences.num_items, len(sequences.items)) == expected
    if not options and copy.prepared is not None:
        assert copy.prepared == expected
    check_leaks(leave_one_out(sequences), sequences)
    if sequences.times is not None:
        check_leaks(global_temporal(sequences), sequences)


@pytest.mark.real_data
def test_real_files_are_the_known_ones(real: Path) -> None:
    for row in check(real):
        if row.file is None:
            continue
        assert row.ok, row
        assert row.counts == row.expected


@pytest.mark.real_data
def test_real_content_hashes_are_pinned(real: Path) -> None:
    """These enter the cells' keys, so a change here makes every stored result on them unreachable."""
    if find("ml-100k").found(real) is None:
        pytest.skip(f"ml-100k is not in {real}")
    loaded = load("ml-100k", real)
    assert loaded.provenance.content_hash == "cfd2125a50545b8744e8b30da0cfed519610b6e34e51d48807c4457ac0db5d57"
