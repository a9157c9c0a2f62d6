"""The firmware's bridge in this process, around values that Python fills in and reads.

Sessions, TTL, limits and the ESTOP latch are those of the C code (firmware_bridge/bridge/bridge.h).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from rtu_edge._base.errors import DeviceError
from rtu_edge._bridge import ffi, lib
from rtu_edge.device.schema import Cap, Channel, DataSheet

__all__ = ["Mailbox"]

_LEVEL_ERROR = 3


class Mailbox:
    """A bridge whose plant is a set of variables. One call at a time; time is an argument, in microseconds.

    Args:
        name: of the plant.
        sheet: without sheet_problems().
        caps: SIMULATED, RESET, REWARD.
        ttl_max_ms: longest time to live of a command.
        boot_id: number of this start.
        max_steps: of an episode; 0: no limit.
        now_us: the clock.

    Attributes:
        x: observation (n,), float32: read at each tick.
        reward, terminated: of the period that ends with it.
        u: actuator command (m,), as floats.
        live: u is a command; False: it is the safe behaviour.
        told: u or live was passed on since this was set to False.
        reset_seed: of a received RESET; None: none.
        arrived: the plant is at the start of the episode.
    """

    def __init__(
        self, name: str, sheet: DataSheet, caps: Cap, ttl_max_ms: int, boot_id: int, max_steps: int, now_us: int
    ) -> None:
        self.x: npt.NDArray[np.float32] = np.zeros(sheet.observation_size, np.float32)
        self.reward, self.terminated = 0.0, False
        self.u = [actuator.safe_value for actuator in sheet.actuators]
        self.live = self.told = False
        self.reset_seed: int | None = None
        self.arrived = True
        self._max_steps, self._steps = max_steps, 0
        self._outbox = ffi.new("tl_outbox *")
        self._c = ffi.new("tl_bridge *")
        self._kept: list[Any] = []  # what C points to
        plant = self._plant(name, sheet, bool(caps & Cap.SIMULATED))
        config = ffi.new("tl_bridge_config *")
        slew = self._keep(ffi.new("float[]", [actuator.slew for actuator in sheet.actuators]))
        config.plant, config.slew = plant, slew
        config.reset_done = self._keep(ffi.callback("bool(void *)", self._reset_done))
        config.boot_id, config.ttl_max_ms, config.caps = boot_id, ttl_max_ms, int(caps)
        config.fw_major = 1
        config.send, config.send_context = ffi.addressof(lib, "tl_outbox_take"), self._outbox
        if not lib.tl_bridge_init(self._c, config, now_us):
            raise DeviceError(f"{name}: the data sheet does not fit the protocol")

    def _keep(self, value: Any) -> Any:
        self._kept.append(value)
        return value

    def _plant(self, name: str, sheet: DataSheet, simulated: bool) -> Any:
        text = {word: self._keep(ffi.new("char[]", word.encode())) for word in self._words(name, sheet)}
        rows = self._keep(ffi.new("tl_plant_row[]", len(sheet.channels)))
        for row, channel in zip(rows, sheet.channels, strict=True):
            row.name, row.unit = text[channel.name], text[channel.unit]
            row.min, row.max, row.safe, row.safe_value = channel.min, channel.max, int(channel.safe), channel.safe_value
        own = self._keep(ffi.new("tl_plant_sheet *"))
        own.name = own.title = text[name]
        own.reward = own.source = text[""]
        own.period_us = round(sheet.period_s * 1e6)
        own.observation_size, own.action_size = sheet.observation_size, sheet.action_size
        own.rows, own.simulated = rows, simulated
        own.roles = self._keep(ffi.new("uint8_t[]", [int(channel.role) for channel in sheet.observations]))
        own.limits, own.n_limits = self._limits(sheet)
        plant = self._keep(ffi.new("tl_plant *"))
        plant.sheet = own
        plant.reset = self._keep(ffi.callback("void(void *, uint32_t)", self._reset))
        plant.step = self._keep(ffi.callback("tl_plant_result(void *, float *)", self._step))
        plant.observe = self._keep(ffi.callback("void(void *, float *)", self._observe))
        plant.apply = self._keep(ffi.callback("void(void *, float *, bool)", self._apply))
        return plant

    def _limits(self, sheet: DataSheet) -> tuple[Any, int]:
        given = [(at, each) for at, channel in enumerate(sheet.observations) for each in channel.limits]
        limits = self._keep(ffi.new("tl_sheet_limit[]", max(1, len(given))))
        for row, (at, each) in zip(limits, given, strict=False):
            row.observation = at
            values = (int(each.kind), each.actuator, each.sense, each.low, each.high, each.slope)
            row.limit.kind, row.limit.actuator, row.limit.sense, row.limit.low, row.limit.high, row.limit.slope = values
        return limits, len(given)

    @staticmethod
    def _words(name: str, sheet: DataSheet) -> set[str]:
        def words(channel: Channel) -> tuple[str, str]:
            return channel.name, channel.unit

        return {name, "", *(word for channel in sheet.channels for word in words(channel))}

    # ------------------------------------------------------------ callbacks of the C code

    def _reset(self, _: Any, seed: int) -> None:
        # Nothing to do at power-on; a simulated plant is put at its start a second time when it arrives.
        if self._c.state in (lib.TL_STATE_BOOT, lib.TL_STATE_RESETTING):
            return
        self.reset_seed, self.arrived = seed, False

    def _reset_done(self, _: Any) -> bool:
        if self.arrived:
            self._steps, self.terminated = 0, False
        return self.arrived

    def _apply(self, _: Any, u: Any, live: bool) -> None:
        self.u = [u[i] for i in range(len(self.u))]
        self.live, self.told = bool(live), True

    def _step(self, _: Any, u: Any) -> Any:
        self._steps += self.live
        result = ffi.new("tl_plant_result *")
        result.reward = self.reward
        result.terminated = self.terminated
        result.truncated = not self.terminated and 0 < self._max_steps <= self._steps
        return result[0]

    def _observe(self, _: Any, x: Any) -> None:
        for i, value in enumerate(self.x):
            x[i] = value

    # ------------------------------------------------------------ calls of the owner

    @property
    def due_us(self) -> int:
        """When the next tick is due."""
        return int(lib.tl_bridge_due(self._c))

    @property
    def armed(self) -> bool:
        """A session holds the plant: ARMED or RESETTING."""
        return self._c.state in (lib.TL_STATE_ARMED, lib.TL_STATE_RESETTING)

    @property
    def expires_us(self) -> int | None:
        """The last moment of the command in force; None without one."""
        return int(self._c.expires_us) if self._c.live and self.armed else None

    @property
    def resetting(self) -> bool:
        """An episode is about to begin."""
        return bool(self._c.state == lib.TL_STATE_RESETTING)

    @property
    def session(self) -> int:
        """Number of the session; 0: none."""
        return int(self._c.session)

    @property
    def at_rest(self) -> bool:
        """Another period changes no output."""
        return bool(lib.tl_bridge_at_rest(self._c))

    def receive(self, data: bytes, now_us: int) -> None:
        """Process bytes from the host; without any, check the expiry of the command in force."""
        lib.tl_bridge_receive(self._c, data, len(data), now_us)

    def tick(self, now_us: int) -> None:
        """Run a period if one is due."""
        lib.tl_bridge_tick(self._c, now_us)

    def fail(self) -> None:
        """The next tick has no observation: a session ends with it."""
        self.x = np.full_like(self.x, math.nan)

    def log(self, text: str, now_us: int) -> None:
        """Send a line of text for the operator."""
        data = text.encode("ascii", "replace")
        lib.tl_bridge_log(self._c, _LEVEL_ERROR, data, len(data), now_us)

    def leave(self) -> None:
        """Call before the last tick: closes the session and switches the outputs to their safe behaviour."""
        lib.tl_bridge_leave(self._c)

    def take(self) -> bytes:
        """Bytes for the host."""
        data = bytes(ffi.buffer(self._outbox.bytes, self._outbox.size))
        self._outbox.size = 0
        return data
