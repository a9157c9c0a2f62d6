"""A run from ARM to DISARM: supervised, saved and logged."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rtu_edge.config import Config
from rtu_edge.learn.checkpoint.slots import Slots
from rtu_edge.loop import LoopConfig, LoopStatus
from rtu_edge.record import RunFolder
from rtu_edge.run.build import supervised
from rtu_edge.run.connection import Connection
from rtu_edge.run.loop import POLL_S, RunResult, Watch, run_loop
from rtu_edge.run.recording import Recording
from rtu_edge.run.saving import Saver, Start, device_facts

__all__ = ["Session", "load"]


def load(*modules: str) -> None:
    """Import ahead what a session imports when it opens its log, and other modules that its end needs.

    A process that imports after `pip install -U` gets modules of the new version next to its own.
    """
    for module in ("mcap.writer", "mcap.data_stream", "mcap.records", *modules):
        importlib.import_module(module)


class Session:
    """A learner before its run; nothing is on the disk yet.

    Args:
        settings: the run's configuration.
        device: its device. start: its initial state.
        loop: the loop's configuration.

    Raises:
        CheckpointError, ConfigError: as supervised().
    """

    def __init__(self, settings: Config, device: Connection, start: Start, loop: LoopConfig) -> None:
        self.settings, self.device, self.start, self.loop = settings, device, start, loop
        self.supervised = supervised(settings, device, start.agent, loop, start.supervisor)

    def saver(self, folder: Path) -> Saver:
        """Its saver, in the slots of a folder."""
        checkpoint, facts = self.settings.checkpoint, device_facts(self.device)
        slots = Slots(folder, checkpoint.keep)
        return Saver(slots, checkpoint, self.start.agent, self.start.position, facts, self.supervised.supervisor)

    def run(
        self,
        folder: RunFolder,
        saver: Saver,
        watch: Watch,
        say: Callable[[str], Any],
        poll_s: float = POLL_S,
    ) -> RunResult:
        """Drive, from ARM to DISARM.

        Args:
            folder: for the log and the black box.
            saver: from saver().
            watch, poll_s: as for run_loop().
            say: receives errors of the saver and refused privileges as they occur.
        """

        def look(status: LoopStatus, records: Any, episodes: Any) -> None:
            watch(status, records, episodes)
            if complaint := saver.complaint():
                say(complaint)

        def note(text: str) -> None:
            if text.startswith("warning: "):
                folder.event("check", text=text.removeprefix("warning: "))
            say(text)

        agent, policy = self.start.agent, self.supervised.policy
        with Recording(self.settings, self.device, agent, folder, self.start.supervisor) as recording:
            return run_loop(
                self.device, agent, self.loop, look, poll_s, saver, policy=policy, recording=recording, say=note
            )
