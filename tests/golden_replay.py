"""Results of the current learners from the golden files, as JSON. Run with RTU_EDGE_ISA set to the instruction set of
the files.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

FORMATS = Path(__file__).resolve().parent / "golden" / "formats"
sys.path.insert(0, str(FORMATS.parent))


def checkpoint(path: Path, given: Any, after: Any) -> dict[str, Any]:
    """A learner continues from its file: its final state, and the largest deviation of an output from the record."""
    from make_formats import STEPS, drive

    import rtu_edge as rtu

    agent = rtu.load(path)
    before = agent.state_hash()
    outputs = np.asarray(drive(agent, given, slice(STEPS, None)), np.float64)
    return {"state": before, "after": agent.state_hash(), "distance": float(np.abs(outputs - after[path.stem]).max())}


def run(path: Path) -> dict[str, Any]:
    """A replay of a log to its end, regardless of differences."""
    from rtu_edge.record.reader import read_log
    from rtu_edge.run import replay

    found = replay.verify(read_log(path), stop=False)
    return {
        "records": found.records,
        "hashes": found.hashes,
        "difference": str(found.difference or ""),
        "end": found.agent.state_hash(),
        "distance": found.largest,
    }


def main() -> None:
    folder = FORMATS / "checkpoints"
    with np.load(folder / "stream.npz") as given, np.load(folder / "after.npz") as after:
        checkpoints = {path.stem: checkpoint(path, given, after) for path in sorted(folder.glob("*.rtu"))}
    runs = {path.parent.name: run(path) for path in sorted(FORMATS.glob("runs/*/log.mcap"))}
    print(json.dumps({"checkpoints": checkpoints, "runs": runs}))


if __name__ == "__main__":
    main()
