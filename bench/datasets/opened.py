"""A file of text as its bytes, whether it is plain, gzip or a zip of one file."""

import gzip
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, cast

from bench.errors import InputError
from bench.text import short

BROKEN = (gzip.BadGzipFile, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError)
MARKS = {b"\xff\xfe\0\0": "UTF-32", b"\0\0\xfe\xff": "UTF-32", b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for reading its bytes, unpacked while they are read; what it is, its first bytes say.

    Args:
        path: The file.

    Yields:
        The bytes, from the first one after a UTF-8 byte-order mark.

    Raises:
        InputError: There is no such file, it cannot be read or unpacked, a zip holds any but one file, the text is
            UTF-16 or UTF-32, or there is none; also while it is read.
    """
    if not path.exists():
        raise InputError(f"{path}: there is no such file; check the path")
    if not path.is_file():
        raise InputError(f"{path}: this is not a file; name the data file itself")
    try:
        with ExitStack() as open_files:
            file: IO[bytes] = open_files.enter_context(path.open("rb"))
            head = file.read(4)
            file.seek(0)
            if head.startswith(b"\x1f\x8b"):
                file = cast("IO[bytes]", open_files.enter_context(gzip.GzipFile(fileobj=file)))
            elif head == b"PK\3\4":
                file = open_files.enter_context(_only_member(path, open_files.enter_context(zipfile.ZipFile(file))))
            head = file.read(4)
            if not head:
                raise InputError(f"{path}: the file is empty; get it again")
            for mark, name in MARKS.items():
                if head.startswith(mark):
                    raise InputError(f"{path}: the text is {name}; save the file as UTF-8")
            file.seek(3 if head.startswith(b"\xef\xbb\xbf") else 0)
            yield file
    except BROKEN as error:
        why = " ".join(str(error).split())
        raise InputError(f"{path}: cannot be unpacked ({why}); get it again, or unpack it yourself") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}); check its permissions") from error


def _only_member(path: Path, archive: zipfile.ZipFile) -> IO[bytes]:
    members = [member for member in archive.infolist() if not member.is_dir()]
    if len(members) != 1:
        names = short(", ".join(member.filename for member in members))
        raise InputError(f"{path}: the zip holds {len(members)} files, {names}; unpack it and name one of them")
    if members[0].flag_bits & 1:
        raise InputError(f"{path}: the zip is encrypted; unpack it yourself")
    return archive.open(members[0])
