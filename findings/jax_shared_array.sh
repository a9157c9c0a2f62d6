#!/bin/sh
# JAX: device_put() of a numpy array is a copy or the array itself, depending on where the array lies in memory.
#
# Packages: jax 0.10.2, jaxlib 0.10.2 (PyPI, some 600 MB installed), numpy 2.4.6.
#
# On the CPU device_put() shares the memory of a float32 array that starts at a multiple of 64 bytes, and copies any
# other. A later write to the numpy array changes the supposedly immutable jax array in the first case. numpy aligns to
# 16 bytes, so the same program does one or the other from run to run. A control loop that reads its sensors into one
# buffer and keeps device_put(buffer) as an observation for a later update may train on the present one.
# jnp.asarray() and jnp.array() copied in each case.
#
# Seen (Python 3.11, x86-64; the array holds 1 at the call, then 7 is written to it):
#     device_put    64 k + 0: 7   64 k + 16: 1   64 k + 32: 1   64 k + 48: 1
#     jnp.asarray   64 k + 0: 1   64 k + 16: 1   64 k + 32: 1   64 k + 48: 1
#     jnp.array     64 k + 0: 1   64 k + 16: 1   64 k + 32: 1   64 k + 48: 1
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6
JAX_PLATFORMS=cpu "$folder/venv/bin/python" - <<'PYTHON'
import jax
import jax.numpy as jnp
import numpy as np

SIZE = 8


def observation(offset: int) -> np.ndarray:
    """A float32 array of ones that starts offset bytes behind a multiple of 64."""
    room = np.empty(SIZE * 4 + 128, np.uint8)
    start = -room.ctypes.data % 64 + offset
    array = room[start : start + SIZE * 4].view(np.float32)
    assert array.ctypes.data % 64 == offset
    array[:] = 1
    return array


def value_after_write(convert, offset: int) -> float:
    array = observation(offset)
    kept = convert(array).block_until_ready()
    array[:] = 7
    return float(kept[0])


for name, convert in (("device_put", jax.device_put), ("jnp.asarray", jnp.asarray), ("jnp.array", jnp.array)):
    seen = {offset: value_after_write(convert, offset) for offset in (0, 16, 32, 48)}
    print(f"{name:11}", *(f" 64 k + {offset}: {value:g}" for offset, value in seen.items()), sep="  ")
    shared = 7 if convert is jax.device_put else 1
    assert seen == {0: shared, 16: 1, 32: 1, 48: 1}, f"changed: {name} shares in other cases"
PYTHON
