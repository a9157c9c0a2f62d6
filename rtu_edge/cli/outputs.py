"""What -o may name: checked before the work, which can take hours."""

from __future__ import annotations

from pathlib import Path

__all__ = ["check_file", "check_folder", "check_not_read"]

# Who ends a name with one of these means a file.
_ENDINGS = frozenset(
    [
        ".bin",
        ".c",
        ".csv",
        ".elf",
        ".h",
        ".hex",
        ".html",
        ".json",
        ".log",
        ".mcap",
        ".md",
        ".onnx",
        ".pdf",
        ".png",
        ".rtu",
        ".svg",
        ".toml",
        ".txt",
        ".uf2",
        ".xml",
        ".zip",
    ]
)


def check_file(path: Path, *, made: bool = False) -> None:
    """Check the path of an output file.

    Args:
        path: to be written.
        made: the command makes its folder.

    Raises:
        ConfigError: a folder, in a file, or in a folder that does not exist.
    """
    from rtu_edge._base.errors import ConfigError

    if path.is_dir():
        raise ConfigError(f"-o {path}: a folder; name a file")
    if in_file := _file_in(path.parent):
        raise ConfigError(f"-o {path}: {in_file} is a file; name another folder")
    if not made and not path.parent.is_dir():
        raise ConfigError(f"-o {path}: there is no folder {path.parent}")


def check_not_read(path: Path, *read: Path) -> None:
    """Check the path of an output file against those that the command reads. Raises ConfigError."""
    from rtu_edge._base.errors import ConfigError

    if any(path.exists() and each.exists() and path.samefile(each) for each in read):
        raise ConfigError(f"-o {path}: this command reads that file; name another one")


def check_folder(path: Path) -> None:
    """Check the path of an output folder, which need not exist.

    Raises:
        ConfigError: a file, in a file, or a new name with a file's ending.
    """
    from rtu_edge._base.errors import ConfigError

    if path.is_dir():
        return
    if in_file := _file_in(path):
        raise ConfigError(f"-o {path}: {in_file} is a file; name a folder")
    if path.suffix.lower() in _ENDINGS:
        raise ConfigError(
            f"-o {path}: this command writes several files into a folder; leave the ending {path.suffix} out"
        )


def _file_in(folder: Path) -> Path | None:
    """The part of a path that is a file and no folder."""
    there = next((each for each in (folder, *folder.parents) if each.exists()), None)
    return there if there is not None and not there.is_dir() else None
