"""Base of all learners: arguments, arena, sections, checkpoints."""

from __future__ import annotations

import copy as _copy
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
import numpy.typing as npt

from rtu_edge import _core
from rtu_edge._base import files
from rtu_edge._base.errors import ConfigError
from rtu_edge._base.validation import check_bool, check_int, check_number, check_sections
from rtu_edge.learn import checkpoint, findings, parameters

__all__ = ["VARIANCE_EPS", "Array", "Learner"]

Array = npt.NDArray[Any]
Self = TypeVar("Self", bound="Learner")

VARIANCE_EPS = 1e-8
_STEPS = 2  # native/learners/learner.h, Counter
_RETURN = ("return_mean", "return_variance", "return_count")


class Learner:
    """Base class of the learners: arena, sections, checkpoints."""

    kind: ClassVar[str]
    _parameter_roots: ClassVar[tuple[str, ...]]
    _normalizer_name: ClassVar[str] = "input"
    _core: Any
    _config: dict[str, Any]

    def _start(
        self,
        native: type,
        native_config: dict[str, Any],
        arguments: dict[str, Any],
    ) -> None:
        """Makes the native learner.

        Args:
            native: its class.
            native_config: its configuration. arguments: checked arguments, as stored in a checkpoint; with "dtype" and
                "seed".
        """
        self._config = {"kind": self.kind, **arguments}
        try:
            checkpoint.encode_config(self._config)  # a learner that cannot be saved is refused
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{self.kind}: an argument that no checkpoint can hold: {error}") from error
        self._native_config = native_config
        self._core = native(native_config, arguments["dtype"], arguments["seed"])
        self._core.on_finding(findings.warner(self))

    @property
    def core(self) -> Any:
        """The native object; `core.policy()` is the policy for the native loop."""
        return self._core

    @property
    def config(self) -> dict[str, Any]:
        """The arguments to recreate this learner, as plain values: "kind" and the constructor's arguments."""
        return _copy.deepcopy(self._config)

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32 or float64."""
        name: str = self._config["dtype"]
        return np.dtype(name)

    @property
    def nbytes(self) -> int:
        """Bytes of the arena, the only memory that a step uses."""
        return int(self._core.nbytes)

    @property
    def sections(self) -> list[tuple[str, str, tuple[int, ...], int]]:
        """(name, dtype, shape, bytes) of each named part of the arena."""
        return [(name, dtype.name, shape, nbytes) for name, dtype, shape, nbytes, _, _ in self._core.sections()]

    def _is_parameter(self, name: str) -> bool:
        leaf = name.rsplit(".", 1)[-1]
        inside = not any(part in {"z0", "z1", "step", "trace", "m", "v"} for part in name.split("."))
        return inside and (leaf in {"weight", "bias"} or _core.is_cell_parameter(leaf))

    @property
    def parameters(self) -> dict[str, Array]:
        """Copies of all weights by name, such as "actor.cell.W1" (n, d) or "actor.layer0.weight" (out, in)."""
        return {row[0]: self._core.get(row[0]) for row in self.sections if self._is_parameter(row[0])}

    def load_parameters(self, parameters: Mapping[str, npt.ArrayLike], *, strict: bool = False) -> None:
        """Replaces some or all weights by copies; eligibilities, traces, state and an optimizer's moments are kept.

        Args:
            parameters: by the names of `parameters`, of the shapes there, as real numbers of any dtype; docs/import.md
                has the layout.
            strict: True requires every name of `parameters`.

        Raises:
            ValueError: an unknown or missing name, a wrong shape, a value that is not finite; nothing has changed.
        """
        known = self.parameters
        checked = check_sections(parameters, known)
        if check_bool("strict", strict) and (missing := [name for name in known if name not in checked]):
            raise ConfigError(f"{missing[0]}: missing; strict=True expects all of {', '.join(known)}")
        for name, value in checked.items():
            self._core.set(name, value)

    @property
    def state(self) -> dict[str, Array]:
        """Copies of every section that a checkpoint holds, in canonical order."""
        return {name: self._core.get(name) for name, *_, saved in self._core.sections() if saved}

    @property
    def normalizer(self) -> dict[str, Any]:
        """Of the observations, float64 (docs/math.md, 3): running "mean" (d,) and "variance" (d,), the "scale" (d,) by
        which a deviation from the mean is multiplied, 0 for a channel that has not moved, and the "count" of
        samples. Of a learner that scales rewards also "return_mean", "return_variance" and "return_count", of the
        running discounted return: `reward_scale` is 1 / sqrt(return_variance + 1e-8)."""
        name = self._normalizer_name
        parts = {leaf: self._core.get(f"{name}.{leaf}") for leaf in ("mean", "mean_low", "m2", "m2_low", "still")}
        count = int(self._core.get(f"{name}.count")[0])
        mean, m2 = (parts[leaf].astype(np.float64) + parts[f"{leaf}_low"] for leaf in ("mean", "m2"))
        moved = (count - parts["still"]).astype(np.float64)
        variance = m2 / np.maximum(moved, 1.0)
        scale = (moved / max(count - 1, 1)) ** 2 / np.sqrt(variance + VARIANCE_EPS)
        return {"mean": mean, "variance": variance, "scale": scale, "count": count, **self._return_statistics()}

    def _return_statistics(self) -> dict[str, Any]:
        """By the names of _RETURN; none of a learner that does not scale rewards."""
        if not self._config.get("scale_reward", False):
            return {}
        count = int(self._core.get("reward.count")[0])
        mean, m2 = (
            float(self._core.get(f"reward.{leaf}")[0]) + float(self._core.get(f"reward.{leaf}_low")[0])
            for leaf in ("mean", "m2")
        )
        return {"return_mean": mean, "return_variance": m2 / max(count - 1, 1), "return_count": count}

    def load_normalizer(self, normalizer: Mapping[str, Any]) -> None:
        """Replaces the running statistics of the observations, and of the return if given; they continue from there.

        Args:
            normalizer: "mean" (d,), "variance" (d,) from 0, finite, and "count", 2 to 2^31 - 1, the number of samples
                that they are of: the larger it is, the slower they move. "scale" (d,) as in `normalizer`; without it
                each channel has moved since the first sample, and one without variance never has. "return_mean",
                "return_variance" from 0, and "return_count", 0 to 2^31 - 1, of the discounted return by which rewards
                are scaled: all three, or none of them.

        Raises:
            ValueError: an unknown or missing key, a wrong shape, a value out of range; nothing has changed.
        """
        name, present = self._normalizer_name, self.normalizer
        if not isinstance(normalizer, Mapping):
            raise ConfigError(f"normalizer: expected a mapping, such as a dict, got {type(normalizer).__name__}")
        if missing := [key for key in ("mean", "variance", "count") if key not in normalizer]:
            raise ConfigError(f"{missing[0]}: missing; expected mean, variance, count")
        others = {*_RETURN, "count"}.intersection(present)
        rows = check_sections(_without(normalizer, others), _without(present, others))
        of_return = self._checked_return(normalizer) if others.intersection(normalizer) - {"count"} else {}
        count = check_int("count", normalizer["count"], 2, 2**31 - 1)
        if (rows["variance"] < 0.0).any():
            raise ConfigError(f"variance = {rows['variance'].min():g}: expected 0 or more")
        deviation = np.sqrt(rows["variance"] + VARIANCE_EPS)
        share = np.sqrt(rows["scale"] * deviation) if "scale" in rows else np.sign(rows["variance"])
        if not ((share >= 0.0) & (share <= 1.0 + 1e-6)).all():
            raise ConfigError("scale: expected from 0 to 1 / sqrt(variance + 1e-8)")
        moved = np.minimum(np.round(share * (count - 1)), count - 1)
        with np.errstate(over="ignore"):
            sums = {"mean": rows["mean"], "m2": rows["variance"] * np.maximum(moved, 1.0)}
        for key, value in zip(("mean", "variance"), sums.values(), strict=True):
            if not (np.abs(value) <= np.finfo(self.dtype).max).all():
                raise ConfigError(f"{key}: too large for {np.dtype(self.dtype).name} with count = {count}")
        self._set_sums(name, sums, count)
        self._core.set(f"{name}.still", (count - moved).astype(np.int32))
        if of_return:
            self._set_sums("reward", of_return, int(normalizer["return_count"]))

    def _checked_return(self, given: Mapping[str, Any]) -> dict[str, Array]:
        """Sums of the return's statistics. Raises ConfigError."""
        if missing := [key for key in _RETURN if key not in given]:
            raise ConfigError(f"{missing[0]}: missing; expected {', '.join(_RETURN)}, or none of them")
        count = check_int("return_count", given["return_count"], 0, 2**31 - 1)
        most = float(np.finfo(self.dtype).max) / max(count - 1, 1)
        mean = check_number("return_mean", given["return_mean"], -most, most)
        variance = check_number("return_variance", given["return_variance"], 0.0, most)
        return {"mean": np.array([mean]), "m2": np.array([variance * max(count - 1, 0)])}

    def _set_sums(self, name: str, sums: Mapping[str, Array], count: int) -> None:
        """Statistics as sums of two numbers, and their count."""
        for leaf, value in sums.items():
            high = value.astype(self.dtype)
            self._core.set(f"{name}.{leaf}", high)
            self._core.set(f"{name}.{leaf}_low", (value - high.astype(np.float64)).astype(self.dtype))
        self._core.set(f"{name}.count", np.array([count], np.int32))

    def state_hash(self) -> str:
        """A 64-bit hash of the canonical bytes of everything that a checkpoint holds, as 16 hexadecimal digits."""
        return f"{self._core.hash():016x}"

    def save(self, path: str | Path) -> None:
        """Writes a checkpoint: the complete state, so that learning resumes bit for bit. The file is replaced
        atomically.

        Raises:
            CheckpointError: a value of the learner is not finite, so that load() would refuse it; the file is
            unchanged. OSError: it cannot be written; the file is unchanged.
        """
        data = self._core.save(checkpoint.encode_config(self._config))
        checkpoint.check_saved(data, path)
        files.write(path, data)

    @property
    def steps_learned(self) -> int:
        """Steps since construction in which the weights moved."""
        return int(self._core.get("counters")[_STEPS])

    def copy(self: Self) -> Self:
        """An independent copy of the learner: both continue bit-identically.

        copy.copy() and copy.deepcopy() do the same; a pickle carries the bytes of a checkpoint. The arrays that bind()
        named are not part of the state: call bind() again.
        """
        twin = type(self)._made(self._config)
        twin._core.adopt(self._core.arena())
        twin.__dict__.update(self._added())
        return twin

    __copy__ = copy

    def __deepcopy__(self: Self, memo: dict[int, Any]) -> Self:
        twin = self.copy()
        memo[id(self)] = twin
        twin.__dict__.update(_copy.deepcopy(self._added(), memo))
        return twin

    def __reduce__(self) -> tuple[Any, ...]:
        """For pickle: the class, a checkpoint, and the user's attributes of the learner.

        Raises:
            CheckpointError: a value of the learner is not finite.
        """
        data = self._core.save(checkpoint.encode_config(self._config))
        checkpoint.check_saved(data, "pickle")
        return _restored, (type(self), data), self._added() or None

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in parameters.told(self.kind, self._config).items())
        try:
            learned = f"{self.steps_learned:,} steps learned"
        except RuntimeError:  # another thread is in run()
            learned = "learning in another thread"
        return f"{type(self).__name__}({shown}): {learned}, {self.nbytes:,} bytes"

    def _added(self) -> dict[str, Any]:
        """The user's attributes of this object."""
        own = {"_core", "_config", "_native_config"}
        return {key: value for key, value in self.__dict__.items() if key not in own and not key.endswith("_bound")}

    def _build(self, given: Mapping[str, Any]) -> None:
        """Checks the arguments of the constructor and makes the native learner."""
        raise NotImplementedError

    @classmethod
    def _made(cls: type[Self], config: Mapping[str, Any]) -> Self:
        """A learner from its `config`, also of a derived class whose constructor takes other arguments."""
        learner = cls.__new__(cls)
        learner._build({key: value for key, value in config.items() if key != "kind"})
        return learner


def _without(mapping: Mapping[str, Any], keys: Collection[str]) -> dict[str, Any]:
    return {name: value for name, value in mapping.items() if name not in keys}


def _restored(cls: type[Learner], data: bytes) -> Learner:
    """The learner of a pickle."""
    learner = cls._made(checkpoint.complete(checkpoint.read_config(data, "pickle")))
    status, where = learner.core.load(data)
    checkpoint.raise_for(status, where, "pickle")
    return learner
