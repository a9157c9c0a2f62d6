"""Files that are replaced whole: at any moment the old or the new one is there in full."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["DISK", "PACKAGE", "Disk", "beside", "replaced", "write", "written_beside"]

# The installed package: its programs are in bin/, the firmware's sources in sources/.
PACKAGE = Path(__file__).resolve().parents[1]

# What file systems answer that know no sync of a folder: Linux's CIFS and some FUSE and vendor ones (EINVAL, as
# fsync(2) has it for what cannot be synced), ENOTSUP, and EBADF where only what is open for writing is synced.
_NO_FOLDER_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF)


class Disk:
    """Every call on the file system that a writer makes; a recorder may stand in its place."""

    _told = False
    _note = ""

    def note(self) -> str:
        """What there is to tell about the file system, once; "" where there is nothing new."""
        text, self._note = self._note, ""
        return text

    def create(self, path: Path) -> int:
        """A new file, to be written."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)

    def write(self, handle: int, data: bytes) -> None:
        """All of the data."""
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(handle, rest) :]

    def sync(self, handle: int) -> None:
        """The file's data to the medium."""
        os.fsync(handle)

    def close(self, handle: int) -> None:
        """The file."""
        os.close(handle)

    def link(self, path: Path, other: Path) -> None:
        """A second name for a file."""
        os.link(path, other)

    def rename(self, path: Path, other: Path) -> None:
        """Another name for a file, in the place of what had it."""
        os.replace(path, other)

    def unlink(self, path: Path) -> None:
        """A name less."""
        os.unlink(path)

    def sync_folder(self, path: Path) -> None:
        """The folder's names to the medium, where its file system can; otherwise note() has it.

        Raises:
            OSError: the medium failed; it names the folder.
        """
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        except OSError as error:
            if error.errno not in _NO_FOLDER_SYNC:
                raise OSError(error.errno, error.strerror, os.fspath(path)) from error
            if not self._told:
                self._told = True
                self._note = (
                    f"{path}: its file system cannot sync a folder ({error.strerror}): after a power failure the newest"
                    " checkpoint may be the one before it; each of them is whole"
                )
        finally:
            os.close(handle)


DISK = Disk()


def write(path: str | os.PathLike[str], data: bytes, disk: Disk = DISK) -> None:
    """Replaces the file at `path` by `data`: written beside it, synced, renamed, the folder synced.

    At any moment the old or the new file is there in full, also when power fails.

    Raises:
        OSError: the disk is full, or the folder cannot be written; it names `path`, and the old file is as it was.
            Where the folder alone cannot be synced it names the folder, and the new file is there.
    """
    path = Path(path)
    with written_beside(path, data, disk) as temporary:
        disk.rename(temporary, path)
    disk.sync_folder(path.parent)


@contextlib.contextmanager
def replaced(path: str | os.PathLike[str], disk: Disk = DISK) -> Iterator[Path]:
    """The name of a file to be written in pieces, which takes the place of `path` when the block ends without an error.

    Raises:
        OSError: as write(), also one of the block's own that names no other file.
    """
    path = Path(path)
    with beside(path, disk) as temporary:
        yield temporary
        handle = os.open(temporary, os.O_RDONLY | os.O_CLOEXEC)
        try:
            disk.sync(handle)
        finally:
            disk.close(handle)
        disk.rename(temporary, path)
    disk.sync_folder(path.parent)


@contextlib.contextmanager
def written_beside(path: Path, data: bytes, disk: Disk) -> Iterator[Path]:
    """A synced file of another name in the same folder; see beside()."""
    with beside(path, disk) as temporary:
        handle = disk.create(temporary)
        try:
            disk.write(handle, data)
            disk.sync(handle)
        finally:
            disk.close(handle)
        yield temporary


@contextlib.contextmanager
def beside(path: Path, disk: Disk) -> Iterator[Path]:
    """Another name in the same folder; what has it is gone when the block fails, and no error knows it."""
    temporary = path.with_name(f".{path.name}.{os.urandom(6).hex()}")
    try:
        yield temporary
    except BaseException as error:
        with contextlib.suppress(OSError):
            disk.unlink(temporary)
        if isinstance(error, OSError) and error.filename in (None, str(temporary), temporary):
            error.filename = str(path)
            del error.filename2  # None would be printed as a second name, "-> None"
        raise
