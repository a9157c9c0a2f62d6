"""May this plant move: the one rule, which every path from a command to an ARM asks.

A device whose HELLO has the SIMULATED flag may move. Any other is real hardware and moves only with explicit limits for
each actuator and an explicit request: `--arm` and a confirmation on the command line, `arm=True` in Python. A dry run
writes nothing and needs only the limits.
"""

from __future__ import annotations

from rtu_edge._base.errors import ConfigError

__all__ = ["Permission"]

_HOW = "--arm, explicit limits for each actuator and a confirmation"


class Permission:
    """Permission to move one connected device.

    Args:
        device: its name, for the error.
        simulated: the flag in its HELLO.
        needs: what a user has to give for real hardware.
    """

    def __init__(self, device: str, simulated: bool, needs: str = _HOW) -> None:
        self._device = device
        self._needs = needs
        self.granted = simulated

    def grant(self) -> None:
        """Let real hardware move: the command line has --arm and a person's confirmation, or a script has arm=True."""
        self.granted = True

    def require(self) -> None:
        """Ask before an ARM.

        Raises:
            ConfigError: it is real hardware without permission.
        """
        if not self.granted:
            raise ConfigError(
                f"{self._device} is real hardware, as it does not report itself as simulated: it moves only with "
                f"{self._needs}"
            )
