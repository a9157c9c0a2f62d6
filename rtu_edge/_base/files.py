"""Atomically replaced files: at any time the complete old or new file exists."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

__all__ = ["DISK", "PACKAGE", "Disk", "beside", "replaced", "write", "written_beside"]

# The installed package: its programs are in bin/, the firmware's sources in sources/.
PACKAGE = Path(__file__).resolve().parents[1]

# Errors of file systems without folder sync: EINVAL of Linux's CIFS and some FUSE and vendor ones (fsync(2)), ENOTSUP,
# and EBADF where only descriptors opened for writing are synced.
_NO_FOLDER_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF)


class Disk:
    """The file system calls of a writer; tests replace it by a recorder."""

    _told = False
    _note = ""

    def note(self) -> str:
        """A note about the file system, returned once; "" if there is none."""
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
        """Sync the file's data to the medium."""
        os.fsync(handle)

    def close(self, handle: int) -> None:
        """The file."""
        os.close(handle)

    def link(self, path: Path, other: Path) -> None:
        """A second name for a file."""
        os.link(path, other)

    def rename(self, path: Path, other: Path) -> None:
        """Rename a file, replacing the target."""
        os.replace(path, other)

    def unlink(self, path: Path) -> None:
        """A name less."""
        os.unlink(path)

    def sync_folder(self, path: Path) -> None:
        """Sync the folder's names to the medium, if its file system can; otherwise note() reports it.

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
    """Replaces the file at `path` by `data`: writes a file next to it, syncs, renames, syncs the folder.

    At any moment the old or the new file is there in full, also when power fails.

    Raises:
        OSError: `path` is a device, a pipe or a folder; the disk is full, or the folder cannot be written; it names
            `path`, and the old file is unchanged. If only the folder cannot be synced, it names the folder, and the new
            file exists.
    """
    path = Path(path)
    _refuse_special(path)
    with written_beside(path, data, disk) as temporary:
        disk.rename(temporary, path)
    disk.sync_folder(path.parent)


def _refuse_special(path: Path) -> None:
    """A rename would replace a device's name, such as /dev/null or /dev/stdout, by a file."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return  # what follows tells
    if stat.S_ISDIR(mode):
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    if not stat.S_ISREG(mode) or (path.is_symlink() and os.readlink(path).startswith("/proc/")):
        raise OSError(errno.EINVAL, "not a regular file, which could be replaced", os.fspath(path))


@contextlib.contextmanager
def replaced(path: str | os.PathLike[str], disk: Disk = DISK) -> Iterator[Path]:
    """A temporary file name to write to; the file replaces `path` when the block ends without an error.

    Raises:
        OSError: as write(), also for errors of the block that name no other file.
    """
    path = Path(path)
    _refuse_special(path)
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
    """A temporary name in the same folder; its file is removed when the block fails, and errors do not show it."""
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
