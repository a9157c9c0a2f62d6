"""Arrays for numpy, in one file."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["packed"]

Array = npt.NDArray[Any]


def packed(arrays: Mapping[str, Array]) -> bytes:
    """The output of numpy.savez_compressed, in memory.

    On a full disk numpy 1.26 leaves an archive half open, which raises an error later.
    """
    stream = io.BytesIO()
    named: dict[str, Any] = dict(arrays)  # numpy's own annotation: one of the names may be an option
    np.savez_compressed(stream, **named)
    return stream.getvalue()
