"""Many plants of one kind as a vector environment, stepped by one call into C."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from rtu_edge._base.validation import NUMBERS, check_bool, check_int, check_values
from rtu_edge._bridge import ffi, lib
from rtu_edge.device.plants import Plant
from rtu_edge.envs.actions import Actions
from rtu_edge.envs.picture import picture
from rtu_edge.envs.plant_env import LARGEST_SEED, RENDER_MODES, check_render_mode, metadata_of, observation_space

__all__ = ["PlantVectorEnv"]

_LARGEST_NUMBER = 1 << 24

_MODES = {
    AutoresetMode.NEXT_STEP: lib.TL_AUTORESET_NEXT_STEP,
    AutoresetMode.SAME_STEP: lib.TL_AUTORESET_SAME_STEP,
    AutoresetMode.DISABLED: lib.TL_AUTORESET_DISABLED,
}

# numpy's bitgen_t, which a capsule of this name points to, begins with a pointer to the generator's state.
_pointer_of = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)


def _state_of(generator: np.random.Generator) -> int:
    address = _pointer_of(generator.bit_generator.capsule, b"BitGenerator")
    return int(ctypes.c_void_p.from_address(address).value or 0)


def _draw_of(generator: np.random.Generator) -> int:
    """The address of its function that draws 32 bits, as integers(2**32) does."""
    function = ctypes.cast(generator.bit_generator.ctypes.next_uint32, ctypes.c_void_p)
    return int(function.value or 0)


class _Batch:
    """The arrays of `tl_plant_batch`, and the structure that points to them."""

    def __init__(self, plant: Plant, number: int, actions: Actions, mode: AutoresetMode) -> None:
        self.c = ffi.new("tl_plant_batch *")
        self._kept: list[Any] = []
        n, m = plant.sheet.observation_size, plant.sheet.action_size
        raw = lib.tl_plant_find(plant.sheet.name.encode())
        self.c.plant, self.c.n, self.c.max_steps = raw, number, plant.max_steps
        self.c.autoreset = _MODES[mode]
        self.states = self._array("states", (number * raw.state_bytes,), np.uint8)
        self.generators = self._array("generators", (number,), np.uintp)
        self.u = self._array("u", (number, m), np.float32)
        self.level = self._array("level", (number,), np.int64)
        self.x = self._array("x", (number, n), np.float32)
        self.reward = self._array("reward", (number,), np.float32)
        self.terminated = self._array("terminated", (number,), np.bool_)
        self.truncated = self._array("truncated", (number,), np.bool_)
        self.applied = self._array("applied", (number, m), np.float32)
        self.stepped = self._array("stepped", (number,), np.bool_)
        self.was_reset = self._array("was_reset", (number,), np.bool_)
        self.plant_seed = self._array("plant_seed", (number,), np.int64)
        self.final_x = self._array("final_x", (number, n), np.float32)
        self.final_applied = self._array("final_applied", (number, m), np.float32)
        if actions.levels is not None:
            self.levels = self._array("levels", actions.levels.shape, np.float32)
            self.levels[:] = actions.levels
            self.c.n_levels = len(actions.levels)
            self.c.actions = lib.TL_ACTIONS_LEVELS
        else:
            self.c.actions = lib.TL_ACTIONS_UNIT if actions.unit else lib.TL_ACTIONS_PHYSICAL
        # Bit generators differ between environments in their state alone.
        self.c.draw = ffi.cast("uint32_t (*)(void *)", _draw_of(np.random.Generator(np.random.PCG64(0))))

    def _array(self, name: str, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        array = np.zeros(shape, dtype)
        pointer = ffi.from_buffer(array, require_writable=True)
        self._kept.append(pointer)
        setattr(self.c, name, ffi.cast("void *", pointer))
        return array


class PlantVectorEnv(VectorEnv[NDArray[np.float32], Any, NDArray[Any]]):
    """Plants of one kind, stepped by one call into C without the interpreter's lock.

    To the bit what `gymnasium.vector.SyncVectorEnv` makes of as many PlantEnv: observations, rewards, ends, seeds and
    infos, in each autoreset mode. `gymnasium.make_vec("rtu_edge.envs:rtu_edge/CartPole-v0", num_envs=64)` makes one.

    Args:
        plant, actions, max_steps, render_mode: as for PlantEnv.
        num_envs: 1 to 2^24.
        autoreset_mode: what happens after the end of an episode. NEXT_STEP: the next step() resets it, ignores its
            action and returns the first observation with reward 0. SAME_STEP: step() returns the first observation of
            the next episode; the last one is in infos["final_obs"]. DISABLED: reset(options={"reset_mask": ...}).
        copy: step() and reset() return copies of the observations; False: the same array each time, overwritten.

    Raises:
        ValueError: an argument that is not one of these.
        TypeError: another render mode.
    """

    metadata = {  # noqa: RUF012  # as Gymnasium has it
        "render_modes": list(RENDER_MODES),
        "render_fps": 50,
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }

    def __init__(
        self,
        plant: str,
        num_envs: int = 1,
        actions: str | int = "unit",
        max_steps: int | None = None,
        render_mode: str | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        copy: bool = True,
    ) -> None:
        self.render_mode = check_render_mode(render_mode)
        self.num_envs = check_int("num_envs", num_envs, 1, _LARGEST_NUMBER)
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.copy = check_bool("copy", copy)
        single = Plant(plant, max_steps)
        self.sheet = single.sheet
        self.metadata = {**metadata_of(self.sheet), "autoreset_mode": self.autoreset_mode}
        self._actions = Actions(actions, self.sheet.actuators)
        self.single_action_space, self.action_space = self._spaces(self._actions.space)
        self.single_observation_space, self.observation_space = self._spaces(observation_space(self.sheet))
        self._batch = _Batch(single, self.num_envs, self._actions, self.autoreset_mode)
        self._shape = (self.num_envs,) if self._actions.levels is not None else self._batch.u.shape
        self._given = self._batch.level if self._actions.levels is not None else self._batch.u
        self._generators: list[np.random.Generator] = []
        self._seeds: list[int] = []
        self._every = np.ones(self.num_envs, np.bool_)
        self._begun = False

    def _spaces(self, single: spaces.Space[Any]) -> tuple[spaces.Space[Any], spaces.Space[Any]]:
        return single, batch_space(single, self.num_envs)

    # ------------------------------------------------------------ random numbers

    @property  # type: ignore[misc]  # no setter: there is one for each environment
    def np_random(self) -> tuple[np.random.Generator, ...]:  # type: ignore[override]
        """One generator per environment: of the seeds of the episodes that begin without a seed."""
        self._ready()
        return tuple(self._generators)

    @property
    def np_random_seed(self) -> tuple[int, ...]:  # type: ignore[override]
        """The seed of each generator."""
        self._ready()
        return tuple(self._seeds)

    def _ready(self) -> None:
        if not self._generators:
            made = [seeding.np_random() for _ in range(self.num_envs)]
            self._generators, self._seeds = [each[0] for each in made], [each[1] for each in made]
            self._batch.generators[:] = [_state_of(each) for each in self._generators]

    def _checked_seeds(self, seed: int | Sequence[int | None] | None) -> list[int | None]:
        if seed is None:
            return [None] * self.num_envs
        if isinstance(seed, (Sequence, np.ndarray)) and not isinstance(seed, (str, bytes)):
            if len(seed) != self.num_envs:
                raise ValueError(f"seed: {len(seed)} seeds for {self.num_envs} environments")
            return [None if each is None else check_int("seed", each, 0, LARGEST_SEED) for each in seed]
        first = check_int("seed", seed, 0, LARGEST_SEED - self.num_envs)
        return [first + i for i in range(self.num_envs)]

    # ------------------------------------------------------------ reset

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start an episode in every environment, or in those of a mask.

        Args:
            seed: of the first environment, seed + i of the i-th; or one per environment, None for its next one.
            options: {"reset_mask": bool (num_envs,), which environments are reset}; other keys are not used.

        Returns:
            Observations float32 (num_envs, n), and {"plant_seed": int64 (num_envs,)}, with its mask "_plant_seed".

        Raises:
            ValueError, TypeError: a seed out of range, another number of seeds, a mask of another shape, type or
                without a True.
        """
        seeds = self._checked_seeds(seed)
        mask = self._checked_mask(options)
        self._ready()
        batch = self._batch
        batch.plant_seed[:] = 0
        for i in range(self.num_envs) if mask is None else np.flatnonzero(mask).tolist():
            own = seeds[i]
            if own is None:
                batch.plant_seed[i] = self._generators[i].integers(2**32)
            else:
                self._generators[i], self._seeds[i] = seeding.np_random(own)
                batch.generators[i] = _state_of(self._generators[i])
                batch.plant_seed[i] = own & 0xFFFFFFFF
        lib.tl_plant_batch_reset(batch.c, ffi.NULL if mask is None else ffi.from_buffer("uint8_t[]", mask))
        self._begun = self._begun or mask is None
        info = {"plant_seed": batch.plant_seed.copy(), "_plant_seed": (self._every if mask is None else mask).copy()}
        return (batch.x.copy() if self.copy else batch.x), info

    def _checked_mask(self, options: dict[str, Any] | None) -> NDArray[np.bool_] | None:
        mask = (options or {}).get("reset_mask")
        if mask is None:
            return None
        if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or isinstance(mask, np.ma.MaskedArray):
            raise TypeError(f"options['reset_mask'] = {mask!r}: expected a numpy array of bool")
        if mask.shape != (self.num_envs,) or not mask.any():
            raise ValueError(f"options['reset_mask'] = {mask}: expected shape ({self.num_envs},) and at least one True")
        if not self._begun and not mask.all():
            raise gymnasium.error.ResetNeeded("options['reset_mask']: the first reset() is of all environments")
        return np.ascontiguousarray(mask)

    # ------------------------------------------------------------ step

    def step(
        self, actions: Any
    ) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """One period of every plant.

        Args:
            actions: of the action space, float32 (num_envs, m) or, with levels, integers (num_envs,); values beyond
                the range are clipped. That of an environment which this call resets is ignored.

        Returns:
            observations float32 (num_envs, n), rewards float64, terminations bool, truncations bool (num_envs,), and
            infos: "applied" (num_envs, m), in the actuators' units; "plant_seed" where an episode began; in SAME_STEP
            "final_obs" and "final_info" where one ended; each with its mask, such as "_applied".

        Raises:
            ValueError: another shape, not finite, or no such level; no plant has moved.
            gymnasium.error.ResetNeeded: before the first reset(); or DISABLED, and an episode has ended.
        """
        batch, given = self._batch, self._given
        fit = type(actions) is np.ndarray and actions.dtype == given.dtype and actions.shape == self._shape
        given[:] = actions if fit else self._converted(actions)
        if not self._begun:
            raise gymnasium.error.ResetNeeded("step() before the first reset()")
        if self.autoreset_mode is AutoresetMode.DISABLED and (batch.terminated | batch.truncated).any():
            ended = np.flatnonzero(batch.terminated | batch.truncated).tolist()
            raise gymnasium.error.ResetNeeded(
                f"environments {ended}: the episode has ended; reset(options={{'reset_mask': ...}})"
            )
        begun = lib.tl_plant_batch_step(batch.c)
        if begun < 0:
            i = -1 - begun
            raise ValueError(f"actions[{i}] = {np.asarray(actions)[i].tolist()} is not in {self.single_action_space}")
        return (
            batch.x.copy() if self.copy else batch.x,
            batch.reward.astype(np.float64),
            batch.terminated.copy(),
            batch.truncated.copy(),
            self._infos(begun) if begun else {"applied": batch.applied.copy(), "_applied": self._every.copy()},
        )

    def _converted(self, actions: Any) -> NDArray[Any]:
        """Actions of other types, as float32 or int64 of the right shape."""
        if self._actions.levels is None:
            with np.errstate(over="ignore"):
                plain = isinstance(actions, np.ndarray) and not isinstance(actions, np.ma.MaskedArray)
                if plain and actions.dtype.kind in NUMBERS:
                    values = np.asarray(actions, np.float32)
                    if values.shape == self._shape:
                        return values  # finite or not: C has the last word, which knows whose action is ignored
            return check_values("actions", actions, self._shape)
        levels = np.asarray(actions)
        if isinstance(actions, np.ma.MaskedArray) or levels.dtype.kind not in "iu" or levels.shape != self._shape:
            raise ValueError(f"actions = {actions!r}: expected integers of shape {self._shape}")
        return levels.astype(np.int64)

    def _infos(self, begun: int) -> dict[str, Any]:
        """Infos of a step that has begun episodes, with the keys that SyncVectorEnv has."""
        batch = self._batch
        infos: dict[str, Any] = {}
        if begun < self.num_envs:
            infos = {"applied": batch.applied.copy(), "_applied": batch.stepped.copy()}
        infos["plant_seed"], infos["_plant_seed"] = batch.plant_seed.copy(), batch.was_reset.copy()
        if self.autoreset_mode is AutoresetMode.SAME_STEP:
            final = np.empty(self.num_envs, dtype=object)  # of None
            which = batch.was_reset.nonzero()[0]
            for i, observation in zip(which.tolist(), batch.final_x[which], strict=True):
                final[i] = observation
            infos["final_obs"], infos["_final_obs"] = final, batch.was_reset.copy()
            infos["final_info"] = {"applied": batch.final_applied.copy(), "_applied": batch.was_reset.copy()}
            infos["_final_info"] = batch.was_reset.copy()
        return infos

    # ------------------------------------------------------------ pictures

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:
        """A picture of each environment, uint8 (200, 300, 3); None without a render mode."""
        if self.render_mode is None:
            return None
        return tuple(picture(self.sheet, x) for x in self._batch.x)
