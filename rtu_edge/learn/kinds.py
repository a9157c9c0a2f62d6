"""The learners by the name of their kind."""

from __future__ import annotations

from rtu_edge.learn.bank import TDBank
from rtu_edge.learn.base import Learner
from rtu_edge.learn.signals import OnlineRegressor, TDPredictor
from rtu_edge.learn.stream_ac import StreamAC
from rtu_edge.learn.stream_q import StreamQ, StreamQRC, StreamSARSA

__all__ = ["KINDS"]

KINDS: dict[str, type[Learner]] = {
    cls.kind: cls for cls in (StreamAC, StreamQ, StreamSARSA, StreamQRC, TDPredictor, TDBank, OnlineRegressor)
}
