"""Packages that are imported on demand: a missing one gives one sentence with the command to install it."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from collections.abc import Iterator

__all__ = ["install_command", "missing_package", "need", "needed_by", "note_of"]

# Module -> the extra of rtu_edge that installs its package (pyproject.toml).
_EXTRAS = {
    "onnx": "onnx",
    "onnxruntime": "onnx",
    "matplotlib": "report",
    "gymnasium": "gym",
    "tensorboardX": "tensorboard",
    "foxglove": "foxglove",
    "pyarrow": "study",
    "distributed": "study",
    "optuna": "study",
    "jax": "bench",
    "torch": "bench",
    "mujoco": "mujoco",
}
# Module -> the newest Python that it has wheels for; pyproject.toml asks for it up to this one.
_NEWEST_PYTHON = {"onnxruntime": (3, 14)}
# Module -> its package: dependencies, which only a partial installation lacks, and peers of one benchmark.
_PACKAGES = {
    "serial": "pyserial",
    "stable_baselines3": "stable-baselines3",
    "_cffi_backend": "cffi",
    "popgym": "popgym",
    **{name: name for name in ("click", "lz4", "mcap", "msgspec", "numpy", "rich", "zstandard")},
}


def install_command(module: str) -> str:
    """The command that installs a module of an extra or a dependency; "" for any other module."""
    if extra := _EXTRAS.get(module):
        return f'pip install "rtu_edge[{extra}]"'
    package = _PACKAGES.get(module)
    return f"pip install {package}" if package else ""


def missing_package(error: ImportError) -> str:
    """A sentence with the command to install the missing package; "" for an unknown package."""
    module = (error.name or "").partition(".")[0]
    command = install_command(module)
    return f"{module} is not installed: {command}{_older(module)}" if command else ""


def _older(module: str) -> str:
    newest = _NEWEST_PYTHON.get(module, sys.version_info[:2])
    if sys.version_info[:2] <= newest:
        return ""
    return f", with Python {newest[0]}.{newest[1]} or older: there are no wheels for this one"


def note_of(error: ModuleNotFoundError) -> str:
    """Text to print instead of a picture.

    Raises:
        ModuleNotFoundError: `error` itself, for an unknown package.
    """
    if sentence := missing_package(error):
        return f"no picture: {sentence}"
    raise error


def need(*modules: str, by: str) -> None:
    """Check in advance, without an import, that the modules of an extra are installed.

    Raises:
        ModuleNotFoundError: one is not; the message has the command to install it.
    """
    for module in modules:
        with needed_by(by):
            if importlib.util.find_spec(module) is None:
                raise ModuleNotFoundError(name=module)


@contextlib.contextmanager
def needed_by(what: str) -> Iterator[None]:
    """Around the imports of an optional package.

    Raises:
        ModuleNotFoundError: it is not installed; the message names `what` and the command to install it.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        if not (command := install_command(module)):
            raise  # a dependency of the package
        text = f"{what} needs {module}, which is not installed: {command}{_older(module)}"
        raise ModuleNotFoundError(text, name=module) from None
