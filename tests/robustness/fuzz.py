"""Damaged and hostile files against every reader: python -m tests.robustness.fuzz [INPUTS]

A small file of each accepted form is mutated at random: bytes are flipped, cut out, doubled, or replaced by what trips
parsers. A reader may accept the result or refuse it with a typed error of the suite. Anything else counts as a crash:
another error, more than `LIMIT_S` seconds of CPU, a new file, or a changed record that is trusted.
"""

import gzip
import hashlib
import io
import json
import shutil
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from bench.apply import observed
from bench.cells.record import Record, pack
from bench.cells.store import Store
from bench.cells.unit import Cell
from bench.datasets import readers
from bench.datasets.catalogue import Archive, find
from bench.datasets.download import unpack
from bench.datasets.load import file_sha256
from bench.datasets.own import FileForm, read_own
from bench.datasets.titles import GENRES, read_films
from bench.errors import INPUT_ERRORS, InputError
from bench.judge.claims import REGISTER, read_register
from bench.report.run_files import read_run
from bench.show.console import print_message, print_table
from bench.show.tables import Table
from causalrec.checkpoints import CheckpointFile
from causalrec.interactions import from_rows, leave_one_out
from causalrec.methods.saved import DESCRIPTION, PARAMETERS, USERS, DataOptions, Trained, load, save
from causalrec.methods.streams import generator
from causalrec.model import SASRec, SASRecOptions
from causalrec.training import TrainingOptions, train
from tests.bench.report.test_compare import RUN

INPUTS = 100_000
LIMIT_S = 5.0
LONG = 1 << 21  # bytes of the longest token, rarely used
TOKENS = (
    b"\0", b"\r", b"\r\n", b"\n", b"\n\n", b"\xef\xbb\xbf", b"\xff\xfe", b"\xff", b"\xc3", b"\xed\xa0\x80", b'"', b"'",
    b"\t", b" ", b",", b";", b"::", b"|", b":", b"{", b"}", b"[", b"]", b"[" * 3000, b"-", b"+", b".", b"0", b"-1",
    b"1e309", b"1e-400", b"NaN", b"nan", b"inf", b"null", b"true", b"9223372036854775807", b"9223372036854775808",
    b"18446744073709551616", b"9" * 400, b"\xd9\xa3", "\u2028".encode(), "\u202e".encode(), b"=1+1", b"../../up",
    b"__class__", b"O8", b"<i8", b"(10000000000,)", b"F64", b"data_offsets", b"x" * 5000,
)  # fmt: skip


@dataclass(frozen=True)
class Target:
    """A reader: its file's name, whole files of its form, and what reads the folder that the file stands in.

    keep: files that must stand beside it. sealed: called after each change, to make hashes fit that lie beside.
    """

    name: str
    file: str
    whole: tuple[bytes, ...]
    read: Callable[[Path], object]
    keep: Callable[[Path], object] = lambda _: None
    sealed: Callable[[Path], object] = lambda _: None


@dataclass
class Tally:
    """What became of a reader's inputs; `crash` is the first one, told."""

    inputs: int = 0
    accepted: int = 0
    refused: int = 0
    crashes: int = 0
    slowest_s: float = 0.0
    crash: str = ""


def mutate(data: bytes, rng: np.random.Generator) -> bytes:
    """`data` with one to five changes."""
    for _ in range(int(rng.integers(1, 6))):
        at, end = sorted(int(place) for place in rng.integers(0, len(data) + 1, size=2))
        end = min(end, at + int(rng.integers(1, 40)))
        kind = int(rng.integers(9))
        token = TOKENS[int(rng.integers(len(TOKENS)))]
        if kind == 0 and data:
            flipped = bytearray(data)
            flipped[min(at, len(data) - 1)] ^= 1 << int(rng.integers(8))
            data = bytes(flipped)
        elif kind == 1:
            data = data[:at] + data[end:]
        elif kind == 2:
            data = data[:end] + data[at:]
        elif kind == 3:
            data = data[:at] + token + data[end:]
        elif kind == 4:
            data = data[:at] + token + data[at:]
        elif kind == 5:
            data = data[:at]
        elif kind == 6:
            data = rng.bytes(int(rng.integers(0, 60))) + data[at:]
        elif kind == 7:
            lines = data.splitlines(keepends=True)
            data = b"".join(lines[place] for place in rng.permutation(len(lines)))
        elif rng.random() < 0.01:
            data = data[:at] + token[:1] * LONG + data[at:]
    return data


def fuzz(target: Target, inputs: int, rng: np.random.Generator) -> Tally:
    """Give a reader so many inputs, in a folder of its own that is removed at the end."""
    tally = Tally()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "in"
        folder.mkdir()
        target.keep(folder)
        path = folder / target.file
        path.parent.mkdir(parents=True, exist_ok=True)
        for _ in range(inputs):
            data = mutate(target.whole[int(rng.integers(len(target.whole)))], rng)
            path.write_bytes(data)
            target.sealed(folder)
            before = {*folder.parent.rglob("*")}
            tally.inputs += 1
            start, wrong = time.process_time(), ""
            try:
                target.read(folder)
                tally.accepted += 1
            except INPUT_ERRORS:
                tally.refused += 1
            except (Exception, RecursionError) as error:  # noqa: BLE001 - what a reader must not let through
                wrong = f"{type(error).__name__}: {error}"
            took = time.process_time() - start
            tally.slowest_s = max(tally.slowest_s, took)
            if took > LIMIT_S:
                wrong = f"took {took:.1f} s"
            elif not wrong and (new := {*folder.parent.rglob("*")} - before):
                wrong = f"wrote {', '.join(sorted(file.name for file in new))}"
            if wrong:
                tally.crashes += 1
                tally.crash = tally.crash or f"{wrong[:200]}, of {data[:60]!r}"
    return tally


def fuzz_table(found: Iterable[tuple[Target, Tally]]) -> Table:
    """One row a reader."""
    rows = tuple(
        (target.name, t.inputs, t.accepted, t.refused, t.crashes, 1e3 * t.slowest_s, t.crash) for target, t in found
    )
    note = (
        f"{sum(row[1] for row in rows):,} inputs, {sum(row[4] for row in rows)} crashes: another error than the "
        f"suite's own, over {LIMIT_S:g} s of CPU, a file written, or a changed record trusted."
    )
    columns = ("reader", "inputs", "accepted", "refused", "crashes", "slowest ms", "first crash")
    return Table("fuzz", "Damaged and hostile files", columns, rows, note)


# Readers


def _at(name: str, read: Callable[[Path], object]) -> Callable[[Path], object]:
    return lambda folder: read(folder / name)


def _dataset(name: str, file: str, read: Callable[[Path], object], *whole: str) -> Target:
    return Target(name, file, tuple(text.encode("latin-1") for text in whole), _at(file, read))


def _matrix(file: str, covariance: bool = False) -> Target:
    rng = generator(root=0, stream="fuzz", file=file)
    values = rng.normal(size=(8, 3))
    values = values.T @ values if covariance else values
    separator = " " if ".txt" in file else ","
    lines = [separator.join(f"{value:.3f}" for value in row) for row in values]
    whole = tuple("\n".join([*head, *lines, ""]).encode() for head in ((), (separator.join("abc"),)))
    if file.endswith(".npy"):
        buffer = io.BytesIO()
        np.save(buffer, values)
        whole = (buffer.getvalue(),)
    if file.endswith(".gz"):
        whole = tuple(gzip.compress(text, mtime=0) for text in whole)
    read = partial(observed.read, covariance=covariance)
    return Target(f"learn, {file}{', covariance' if covariance else ''}", file, whole, _at(file, read))


RECORD = Cell("toy", {"number": 1}, ("bench.errors",))
STORED = Record(RECORD.key, RECORD.fields, "ok", {"shd": 3, "f1": 0.25}, wall_s=1.0)


def _record() -> Target:
    """The store's own rule: what is not the record as it was put is set aside, never trusted."""
    with tempfile.TemporaryDirectory() as place:
        store = Store(place)
        stored = store.put(STORED)
        (path,) = Path(place).glob("records/??/*.json")
        file, whole = str(path.relative_to(place)), path.read_bytes()

    def read(folder: Path) -> None:
        store = Store(folder)
        got = store.get(RECORD)
        for path in (folder / "quarantine").glob("*"):
            path.unlink()
        if got is None:
            raise InputError("set aside")
        if got != stored:
            raise RuntimeError("a changed record is trusted")

    def keep(folder: Path) -> None:
        (folder / "quarantine").mkdir()
        (folder / file).parent.mkdir(parents=True)

    return Target("record", file, (whole,), read, keep)


def _model(file: str) -> Target:
    def keep(folder: Path) -> None:
        model = SASRec(SASRecOptions(items=5, length=4, width=4, layers=1, heads=1), torch.Generator())
        prepared = asdict(DataOptions("user", "item", None, "kept", 1, 1, "leave_one_out"))
        about = {"preparation": prepared, "seen": "kept", "content_hash": "0", "dataset": "own file", "file": "f"}
        save(folder, "sasrec", model, tuple("abcde"), Trained(*np.ones((3, 1), dtype=np.int64)), about)

    def seal(folder: Path) -> None:
        """Hashes of the files as they are: who changes one can change the other."""
        path = folder / DESCRIPTION
        if file != DESCRIPTION:
            told = json.loads(path.read_text())
            told["sha256"] = {part: file_sha256(folder / part) for part in (PARAMETERS, USERS)}
            path.write_text(json.dumps(told))

    with tempfile.TemporaryDirectory() as place:
        keep(Path(place))
        whole = (Path(place) / file).read_bytes()
    return Target(f"model, {file}", file, (whole,), lambda folder: load(folder, "cpu"), keep, seal)


def _arrays() -> Target:
    """Arrays that a record names as its own: who changes them can change their hash."""
    packed = pack({"ranks": np.arange(5.0), "seen": np.eye(3, dtype=np.bool_)})
    file = "arrays.npz"

    def read(folder: Path) -> None:
        store = Store(folder)
        stored = store.put(STORED, {"ranks": np.zeros(1)})
        (path,) = folder.glob("records/??/*.npz")
        content = (folder / file).read_bytes()
        hashed = hashlib.sha256(content).hexdigest()
        record = replace(stored, arrays_sha256=hashed)
        other = path.with_name(f"{record.key}-{hashed[:16]}.npz")
        other.write_bytes(content)
        try:
            store.arrays(record)
        finally:
            shutil.rmtree(folder / "records")

    return Target("arrays of a record", file, (packed,), read)


def _archive() -> Target:
    """An owner's zip: what is unpacked goes to the places asked for, no larger than declared."""
    members = {"ml-1m/ratings.dat": "ml-1m/ratings.dat", "ml-1m/README": "ml-1m/README"}
    asked = Archive("https://owner", None, 1 << 16, 1 << 16, members)
    dataset = replace(find("ml-1m"), copies=())
    wholes = []
    for kind in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", kind) as zipped:
            zipped.writestr(zipfile.ZipInfo("ml-1m/ratings.dat"), "1::2::3::4\n" * 40, kind)
            zipped.writestr(zipfile.ZipInfo("ml-1m/README"), "terms\n", kind)
        wholes.append(buffer.getvalue())

    def read(folder: Path) -> None:
        out = folder / "out"
        (folder / "part").write_bytes((folder / "a.zip").read_bytes())
        try:
            unpack(folder / "part", asked, dataset, out)
            sizes = [path.stat().st_size for path in out.rglob("*") if path.is_file()]
            if len(sizes) != len(members) or sum(sizes) > asked.max_unpacked:
                raise RuntimeError(f"unpacked files of {sizes} bytes")
        finally:
            (folder / "part").unlink(missing_ok=True)
            shutil.rmtree(out, ignore_errors=True)

    return Target("archive of a dataset", "a.zip", tuple(wholes), read)


def _checkpoint() -> Target:
    """A checkpoint whose training is done, so that it is read and nothing trained."""
    split = leave_one_out(from_rows([[1, 2, 3, 4], [2, 3, 4, 5]], num_items=5))
    options = TrainingOptions(epochs=1, batch=2)
    file = "checkpoint.safetensors"

    def read(folder: Path) -> None:
        model = SASRec(SASRecOptions(items=5, length=4, width=4, layers=1, heads=1), torch.Generator())
        shuffle, dropout, checkpoint = np.random.default_rng(0), torch.Generator(), CheckpointFile(folder / file)
        train(model, split, options, shuffle=shuffle, dropout=dropout, checkpoint=checkpoint)

    with tempfile.TemporaryDirectory() as place:
        read(Path(place))
        whole = (Path(place) / file).read_bytes()
    return Target("checkpoint", file, (whole,), read)


def _films_1m(file: str, whole: str) -> Target:
    """MovieLens-1M's titles; the files beside the mutated one are whole."""
    copy = "ml-1m/sasrec.txt" if "sasrec" in file else "ml-1m/ratings.dat"

    def keep(folder: Path) -> None:
        (folder / "ml-1m").mkdir()
        (folder / "ml-1m" / "movies.dat").write_text(MOVIES, encoding="latin-1")

    return Target(file, f"ml-1m/{file}", (whole.encode("latin-1"),), partial(read_films, "ml-1m", copy=copy), keep)


MOVIES = "".join(f"{k}::Caf\xe9 {'I' * k} (199{k})::Drama|War\n" for k in range(1, 6))


def _films() -> Target:
    marks = "|".join("01"[number % 3 == 0] for number in range(len(GENRES)))
    rows = "".join(f"{k}|Film {'I' * k} (199{k})|01-Jan-1990||http://x|{marks}\n" for k in range(1, 6))
    file = "ml-100k/u.item"
    return Target("u.item", file, (rows.encode("latin-1"),), partial(read_films, "ml-100k", copy="ml-100k/u.data"))


def _own(form: str = "table") -> Callable[[Path], object]:
    return partial(read_own, form=FileForm(format=form))


def _zips(text: str) -> tuple[bytes, ...]:
    """A zip of one file for every way of packing it."""
    made = []
    for kind in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", kind) as zipped:
            zipped.writestr(zipfile.ZipInfo("own.csv"), text, kind)
        made.append(buffer.getvalue())
    return tuple(made)


def targets() -> tuple[Target, ...]:
    """Every reader, each with small whole files of its form."""
    csv = "user,item,time\n" + "".join(f"u{k % 4},i{k % 5},{k}.5\n" for k in range(20))
    quoted = 'user,item,time\n' + "".join(f'"u, {k % 4}","i ""{k}""",{k}\n' for k in range(9))
    dates = "user,item,time\n" + "".join(f"u{k % 4},i{k % 5},2020-01-0{1 + k % 9}T10:00:00.{k}Z\n" for k in range(20))
    digits = "".join(f"u{k % 4}\ti{k % 5}\t2020010{1 + k % 9}10000000{k % 10}\n" for k in range(20))
    pairs = "".join(f"u{k % 4}::i{k % 5}\n" for k in range(20))
    lists = "".join(f"u{k} a b \"{k}\"\n" for k in range(9))
    register = REGISTER.read_bytes()
    claims = (register[: register.index(b"\n[layernorm-identifies]")],)  # the gates and the first claim
    rates = "".join(f"{k % 4}\t{k}\t3\t88125094{k}\n" for k in range(9))
    venue = "4bf58dd8\t4bf5\tCaf\xe9\t40.7\t-74.0\t-240"
    visits = "".join(f"{k % 3}\t{venue}\tTue Apr 0{1 + k % 9} 18:00:09 +0000 2012\n" for k in range(9))
    atomic = "user_id:token\titem_id:token\ttimestamp:float\n" + "".join(f"u{k}\ti{k}\t{k}.0\n" for k in range(9))
    return (
        _dataset("u.data", "u.data", readers.read_movielens_100k, rates),
        _dataset("ratings.dat", "ratings.dat", readers.read_movielens_1m, rates.replace("\t", "::")),
        _dataset("user item", "sasrec.txt", readers.read_user_item, "".join(f"{1 + k // 3} {k}\n" for k in range(12))),
        _dataset("TSMC2014", "nyc.txt", readers.read_foursquare, visits),
        _dataset("KGRec", "lf.csv", readers.read_kgrec, "".join(f"{k}\t{k + 7}\t1\n" for k in range(9))),
        _dataset("one user a line", "s3rec.txt", readers.read_lists, "".join(f"{k} 3 4 {k}\n" for k in range(1, 9))),
        _dataset("own table", "own.csv", _own(), csv, quoted, dates, "user\titem\ttime\n" + digits),
        _dataset("RecBole .inter", "own.inter", _own(), atomic),
        _dataset("own pairs", "own.txt", _own("pairs"), pairs, digits.replace("\t2020", "")),
        _dataset("own lists", "own.txt", _own("lists"), lists),
        Target("own gzip", "own.csv.gz", (gzip.compress(csv.encode()),), _at("own.csv.gz", _own())),
        Target("own zip", "own.zip", _zips(csv), _at("own.zip", _own())),
        _films(),
        _films_1m("movies.dat", MOVIES),
        _films_1m("sasrec_to_movie_id.txt", "".join(f"{k} {6 - k}\n" for k in range(1, 6))),
        _archive(),
        _matrix("X.csv"),
        _matrix("S.csv", covariance=True),
        _matrix("X.npy"),
        _matrix("X.txt"),
        _matrix("X.csv.gz"),
        _record(),
        _arrays(),
        _checkpoint(),
        _model(DESCRIPTION),
        _model(PARAMETERS),
        _model(USERS),
        Target("run.json", "run.json", (json.dumps(RUN, indent=1).encode(),), _at("run.json", read_run)),
        Target("claims.toml", "claims.toml", claims, _at("claims.toml", read_register)),
    )


def main(inputs: str = str(INPUTS)) -> int:
    """Spread the inputs over all readers, print the table, and return 1 where one crashed."""
    every, found = targets(), []
    for target in every:
        rng = generator(root=0, stream="fuzz", reader=target.name)
        found.append((target, fuzz(target, -(-int(inputs) // len(every)), rng)))
        print_message(f"{len(found)}/{len(every)} {target.name}: {found[-1][1].crashes} crashes")
    print_table(fuzz_table(found))
    return int(any(tally.crashes for _, tally in found))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
