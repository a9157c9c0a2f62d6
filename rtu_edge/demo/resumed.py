"""A new process that is given only a run's folder: loads its checkpoint and continues with a new firmware process."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from rtu_edge.config import Config, load_config
from rtu_edge.loop import Clock
from rtu_edge.record import RunFolder
from rtu_edge.run import Connection, connect, loop_config, run_loop

__all__ = ["stretch"]


def stretch(
    config: Config, device: Connection, agent: Any, seed: int, session: int | None, steps: int
) -> dict[str, int | str]:
    """Learn for some lockstep steps from a known start.

    Args:
        config, device, agent: the loop to run. seed: of the episodes' starts.
        session: number of the session, part of each command's bytes; None: a new one. steps: number of steps.

    Returns:
        Session, steps done, hashes of all bytes sent and received, and of the learner's state.
    """
    changes: dict[str, Any] = {
        "clock": Clock.LOCKSTEP,
        "seed": seed,
        "session": session,
        "first_episode": 1,
        "steps": steps,
        "seconds": 0.0,
        "target_return": None,
        "realtime": False,
    }
    finished = run_loop(device, agent, loop_config(config, device, **changes))
    result = finished.result
    state = agent.state_hash()
    return {
        "session": finished.session,
        "steps": result.steps,
        "sent": f"{result.sent_hash:016x}",
        "received": f"{result.received_hash:016x}",
        "state": f"{state:016x}" if isinstance(state, int) else str(state),
    }


def main(arguments: list[str]) -> None:
    """FOLDER SEED SESSION STEPS; prints the hashes as JSON."""
    from rtu_edge.learn import load

    folder = Path(arguments[0])
    seed, session, steps = (int(text) for text in arguments[1:])
    config = load_config(folder / RunFolder.CONFIG)
    agent = load(folder / RunFolder.CHECKPOINT)
    with connect(config) as device:
        print(json.dumps(stretch(config, device, agent, seed, session, steps)))


if __name__ == "__main__":
    main(sys.argv[1:])
