"""Pictures of logs: the last seconds of a black box, and predictions of another learner."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rtu_edge.device.schema import Channel
from rtu_edge.report.digest import running_mean
from rtu_edge.report.figures import PALETTE, PANELS, _signal, figure_of, write_picture

if TYPE_CHECKING:
    from rtu_edge.run.what_if import WhatIf

__all__ = ["records_picture", "what_if_picture"]

Array = npt.NDArray[Any]

_SHOWN = 500  # transitions of the value panel
_WINDOW = 1000  # transitions in a mean of |delta|


def records_picture(records: Array, observations: Sequence[Channel], actuators: Sequence[Channel], path: Path) -> None:
    """Observations and commands of some records against seconds before the last, a panel each."""
    time_s = (records["t_ns"] - records["t_ns"][-1]) / 1e9
    observations, actuators = observations[:PANELS], actuators[:PANELS]
    panels = len(observations) + len(actuators)
    with figure_of("records", 10.4, 0.6 + 1.25 * panels) as figure:
        figure.set_facecolor(PALETTE["paper"])
        axes = figure.subplots(panels, 1, sharex=True, squeeze=False)[:, 0]
        for k, row in enumerate(observations):
            _signal(axes[k], time_s, row, records["x"][:, k], "agent")
        for k, row in enumerate(actuators):
            _signal(axes[len(observations) + k], time_s, row, records["u"][:, k], "force")
        axes[-1].set_xlabel("seconds before the last record")
        write_picture(figure, path)


def what_if_picture(found: WhatIf, path: Path) -> None:
    """Value estimates of the last transitions, and the size of delta over all of them."""
    ways = (("as recorded", found.was, "agent"), (", ".join(found.changes), found.would, "control"))
    with figure_of("what-if", 10.4, 5.6) as figure:
        figure.set_facecolor(PALETTE["paper"])
        value, delta = figure.subplots(2, 1)
        for name, predictions, colour in ways:
            last = slice(-_SHOWN, None)
            value.plot(found.step[last], predictions.value[last], color=PALETTE[colour], linewidth=1.1, label=name)
            mean = running_mean(np.abs(predictions.delta), _WINDOW)
            delta.plot(found.step, mean, color=PALETTE[colour], linewidth=1.2)
        value.set_title(f"value estimates, the last {min(_SHOWN, len(found.step)):,} transitions")
        value.legend(loc="upper left", ncols=2)
        delta.set_title(f"|delta|, mean of {_WINDOW:,} transitions")
        delta.set_xlabel("steps")
        write_picture(figure, path)
