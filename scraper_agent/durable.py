"""Files that appear under their name whole or not at all, for folders that another program or person reads.

Only system calls that a network share has as well: a new file, its sync, a rename.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

_WITHOUT_LINKS = frozenset((errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EINVAL))
"""What file systems without hard links say: FAT, and many shares."""
_WITHOUT_SYNC = frozenset((errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EBADF, errno.EACCES))
"""What shares say that cannot sync a folder."""


class Taken(Exception):
    """Under the name lies something else, which stays as it is."""


class TooLong(Exception):
    """The file has more bytes than were to be read."""


def write_part(part: Path, data: bytes) -> None:
    """The new file `part`, durable. One that was left behind under that name is removed, never written into.

    Raises:
        OSError: it cannot be written; nothing of it stays, unless it cannot be removed either.
    """
    part.unlink(missing_ok=True)
    # Other accounts are to read it: the folder's own rights and the umask say which.
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(handle)
    except OSError:
        with suppress(OSError):
            part.unlink()
        raise


def rename_new(part: Path, path: Path) -> None:
    """Give `part` the name `path` in the same folder, which nothing else has.

    Where the system can, this is one step that refuses to replace. On a file system without hard links the name is
    looked at first: whoever takes it in between is replaced.

    Raises:
        Taken: there is a file of that name.
        OSError: it was not renamed, or on a share, nobody knows.
    """
    try:
        if os.name == "nt":
            part.rename(path)  # refuses to replace
            return
        os.link(part, path)  # refuses to replace, as rename(2) would not
    except FileExistsError:
        raise Taken from None
    except OSError as error:
        if error.errno not in _WITHOUT_LINKS:
            raise
        if path.exists():
            raise Taken from None
        part.rename(path)
        return
    with suppress(OSError):
        part.unlink()  # if it stays, the next try removes it


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` durable, as far as the system can: Windows and some shares have no such call.

    Raises:
        OSError: the folder is gone, or its disk failed.
    """
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _WITHOUT_SYNC:
            raise
    finally:
        os.close(handle)


def read(path: Path, most: int) -> bytes | None:
    """The bytes of a file, at most `most`; None if there is none of that name.

    Raises:
        TooLong: it has more.
        OSError: it cannot be read, or is no file: a link, a pipe, a folder.
    """
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        handle = os.open(path, flags)
    except FileNotFoundError:
        return None
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "not a plain file")
        data = file.read(most + 1)
    if len(data) > most:
        raise TooLong
    return data
