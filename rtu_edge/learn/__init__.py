"""Learners: StreamAC, StreamQ, StreamSARSA and StreamQRC for control; TDPredictor, TDBank and OnlineRegressor for
signals; evaluation and writers of curves.

Each class validates arguments and names results; the native core computes, in one arena per learner.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rtu_edge._base.lazy import lazily

if TYPE_CHECKING:
    from rtu_edge._base.errors import LearnerWarning
    from rtu_edge._base.progress import StepRecord
    from rtu_edge.learn.bank import TDBank
    from rtu_edge.learn.coherent import coherence, coherence_of
    from rtu_edge.learn.evaluation import EvaluationResult, evaluate
    from rtu_edge.learn.horizon import low_phase
    from rtu_edge.learn.kinds import KINDS
    from rtu_edge.learn.signals import OnlineRegressor, TDPredictor
    from rtu_edge.learn.stored import decode, load, make, restore
    from rtu_edge.learn.stream_ac import StreamAC
    from rtu_edge.learn.stream_q import StreamQ, StreamQRC, StreamSARSA
    from rtu_edge.learn.training import LearningResult
    from rtu_edge.learn.writers import CSVWriter, TensorBoardWriter

__all__ = [
    "KINDS",
    "CSVWriter",
    "EvaluationResult",
    "LearnerWarning",
    "LearningResult",
    "OnlineRegressor",
    "StepRecord",
    "StreamAC",
    "StreamQ",
    "StreamQRC",
    "StreamSARSA",
    "TDBank",
    "TDPredictor",
    "TensorBoardWriter",
    "coherence",
    "coherence_of",
    "decode",
    "evaluate",
    "load",
    "low_phase",
    "make",
    "restore",
]

__getattr__ = lazily(
    __name__,
    __all__,
    (
        "kinds",
        "bank",
        "signals",
        "stored",
        "stream_ac",
        "stream_q",
        "training",
        "evaluation",
        "findings",
        "writers",
        "horizon",
        "coherent",
    ),
)
