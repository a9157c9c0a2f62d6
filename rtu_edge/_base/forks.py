"""What a forked child does not take along: the descriptors of a port and its locks, which would outlive their owner in
it.
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
    """Have `holder.forked()` called in each child: it lets go there of what it holds, and does nothing that the parent
    feels.
    """
    _holders.add(holder)


def _forked() -> None:
    for holder in list(_holders):
        holder.forked()


os.register_at_fork(after_in_child=_forked)
