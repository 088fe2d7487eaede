"""The named datasets: one entry each, with the owner's page, the licence, the files, and how they are prepared."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.datasets import readers
from bench.errors import InputError
from causalrec.interactions import Interactions
from causalrec.registry import Registry

Counts = tuple[int, int, int]


@dataclass(frozen=True)
class Copy:
    """One file that a dataset can be read from.

    Args:
        path: Of the file, relative to the data folder.
        read: Reads it.
        reader: Its form, for tables.
        note: What the file is.
        sha256: Of the file with that note; None where none is known.
        stored: Users, items and actions in the file.
        prepared: The same after the dataset's default preparation; None where not known.
    """

    path: str
    read: Callable[[Path], Interactions]
    reader: str
    note: str
    sha256: str | None
    stored: Counts
    prepared: Counts | None

    def state(self, sha256: str) -> str:
        """Say how a file stands to the known one.

        Args:
            sha256: Of the file.
        """
        if self.sha256 is None:
            return "no hash is known"
        return self.note if sha256 == self.sha256 else f"differs from the known file ({self.note})"


@dataclass(frozen=True)
class Archive:
    """The owner's zip.

    Args:
        address: Where it is, https.
        md5: As the owner publishes it; None where the owner does not.
        max_bytes: Of the archive.
        max_unpacked: Bytes of the members together.
        members: Path in the data folder of each member that is wanted.
    """

    address: str
    md5: str | None
    max_bytes: int
    max_unpacked: int
    members: dict[str, str]


@dataclass(frozen=True)
class Dataset:
    """A dataset and how it is prepared unless the caller says otherwise.

    Args:
        name: As users give it.
        title: For tables.
        page: The owner's.
        licence: In words.
        copies: Files that it can be read from, of which the first one found is used.
        archive: None where the owner publishes no address that can be relied on.
        repeats: "kept" or "dropped".
        user_core: Fewest actions of a user.
        item_core: Fewest actions on an item.
    """

    name: str
    title: str
    page: str
    licence: str
    copies: tuple[Copy, ...]
    archive: Archive | None
    repeats: str = "kept"
    user_core: int = 5
    item_core: int = 5

    def found(self, folder: Path) -> Copy | None:
        """Return the first of the copies that is there, or None.

        Args:
            folder: The data folder.
        """
        return next((copy for copy in self.copies if (folder / copy.path).exists()), None)


_GROUPLENS = "research use with citation, no redistribution without permission"
_CHECKINS = "published for research with citation (Yang et al. 2015), no redistribution granted"
_CHECKINS_PAGE = "https://sites.google.com/site/yangdingqi/home/foursquare-dataset"


def _movielens(name: str, md5: str, files: tuple[str, ...]) -> Archive:
    members = {f"{name}/{file}": f"{name}/{file}" for file in files}
    return Archive(f"https://files.grouplens.org/datasets/movielens/{name}.zip", md5, 20 << 20, 60 << 20, members)


def _tsmc2014(name: str, title: str, city: str, sha256: str, stored: Counts, *others: Copy) -> Dataset:
    file = f"dataset_TSMC2014_{city}.txt"
    official = Copy(f"{name}/{file}", readers.read_foursquare, "TSMC2014", "the official file", sha256, stored, None)
    address = "https://www-public.imtbs-tsp.eu/~zhang_da/pub/dataset_tsmc2014.zip"
    members = {f"dataset_tsmc2014/{file}": official.path}
    archive = Archive(address, None, 100 << 20, 400 << 20, members)
    return Dataset(name, title, _CHECKINS_PAGE, _CHECKINS, (official, *others), archive, item_core=10)


_ENTRIES = (
    Dataset(
        name="ml-100k",
        title="MovieLens-100K",
        page="https://grouplens.org/datasets/movielens/100k/",
        licence=_GROUPLENS,
        copies=(
            Copy(
                path="ml-100k/u.data",
                read=readers.read_movielens_100k,
                reader="u.data",
                note="the official file",
                sha256="06416e597f82b7342361e41163890c81036900f418ad91315590814211dca490",
                stored=(943, 1_682, 100_000),
                prepared=(943, 1_349, 99_287),
            ),
        ),
        archive=_movielens(
            "ml-100k", "0e33842e24a9c977be4e0107933c0723", ("u.data", "u.item", "u.genre", "u.info", "README")
        ),
    ),
    Dataset(
        name="ml-1m",
        title="MovieLens-1M",
        page="https://grouplens.org/datasets/movielens/1m/",
        licence=_GROUPLENS,
        copies=(
            Copy(
                path="ml-1m/ratings.dat",
                read=readers.read_movielens_1m,
                reader="ratings.dat",
                note="the official file",
                sha256="506d64ca44484487c11dc2d9a28de5c54948213e6b96285e298afe28d6ea4e0f",
                stored=(6_040, 3_706, 1_000_209),
                prepared=(6_040, 3_416, 999_611),
            ),
            Copy(
                path="ml-1m/sasrec.txt",
                read=readers.read_user_item,
                reader="user item",
                note="the 5-core as SASRec's authors distribute it",
                sha256="b725f3acb3986fe3130bffd1e77a74d182a1f51799567a236dbd60270f95b0a2",
                stored=(6_040, 3_416, 999_611),
                prepared=(6_040, 3_416, 999_611),
            ),
        ),
        archive=_movielens("ml-1m", "c4d9eecfca2ab87c1945afe126590906", ("ratings.dat", "movies.dat", "README")),
    ),
    _tsmc2014(
        "foursquare-nyc", "Foursquare New York (TSMC2014)", "NYC",
        "2f39ce698e5bff6683c74bec30c436cc022c160b0f3d73c5268b55491b2445f9", (1_083, 38_333, 227_428),
        Copy(
            path="foursquare-nyc/checkins_venues5.tsv",
            read=partial(readers.read_table, user="user", item="venue", time="unix_time"),
            reader="headed TSV",
            note="not the official file: check-ins at venues with at least 5",
            sha256="bb11ae7b3f1d0c8bfb2470fdfbf8c6b90014d0359bb7e90d167cf57471cc636c",
            stored=(1_083, 9_989, 179_468),
            prepared=(1_083, 5_135, 147_938),
        ),
    ),
    _tsmc2014(
        "foursquare-tky", "Foursquare Tokyo (TSMC2014)", "TKY",
        "85542c605ce708d8584637756590383a84e9bbdb71342d0d8e78858ba2a0e5c8", (2_293, 61_858, 573_703),
    ),
    Dataset(
        name="kgrec-music",
        title="KGRec-music",
        page="https://www.upf.edu/web/mtg/kgrec",
        licence="non-commercial research with citation (Oramas et al. 2016)",
        copies=(
            Copy(
                path="kgrec-music/implicit_lf_dataset.csv",
                read=readers.read_kgrec,
                reader="KGRec",
                note="the official form",
                sha256=None,
                stored=(5_199, 8_640, 751_531),
                prepared=None,
            ),
        ),
        archive=None,
    ),
    Dataset(
        name="beauty",
        title="Amazon Beauty",
        page="https://github.com/RUCAIBox/CIKM2020-S3Rec",
        licence="none stated",
        copies=(
            Copy(
                path="beauty/s3rec.txt",
                read=readers.read_lists,
                reader="one user a line",
                note="the 5-core as S3-Rec's authors distribute it",
                sha256="226cce9c3105299ca0db9615d7d3fb32b3175e90da43100ae352599f0f0107b8",
                stored=(22_363, 12_101, 198_502),
                prepared=(22_363, 12_101, 198_502),
            ),
        ),
        archive=None,
    ),
)

DATASETS: Registry[Dataset] = {dataset.name: dataset for dataset in _ENTRIES}


def find(name: str) -> Dataset:
    """Return the dataset of a name.

    Args:
        name: One of `DATASETS`.

    Raises:
        InputError: There is none; the message lists the names there are.
    """
    if name not in DATASETS:
        raise InputError(f"there is no dataset {name!r}; choose from {', '.join(DATASETS)}")
    return DATASETS[name]
