"""Releases inherited resources in a forked child: descriptors of a port and its locks, which would otherwise stay held
after the owner has ended.
"""

from __future__ import annotations

import os
import weakref
from typing import Protocol

__all__ = ["leave_to_the_parent"]


class _Holder(Protocol):
    def forked(self) -> None: ...


_holders: weakref.WeakSet[_Holder] = weakref.WeakSet()


def leave_to_the_parent(holder: _Holder) -> None:
    """Call `holder.forked()` in each child: it releases its resources there, without an effect on the parent."""
    _holders.add(holder)


def _forked() -> None:
    for holder in list(_holders):
        holder.forked()


os.register_at_fork(after_in_child=_forked)
