"""Build description of rtu_edge._bridge: the C of protocol, bridge and plants for Python (cffi, out-of-line, API mode).

The declarations are read from the headers themselves, so that there is no second copy to keep; the compiler checks them
again.
"""

import re
from pathlib import Path

import cffi

HERE = Path(__file__).resolve().parent

# In the order in which they need each other.
HEADERS = (
    "protocol/safe.h",
    "protocol/limit.h",
    "protocol/crc32.h",
    "protocol/cobs.h",
    "protocol/frame.h",
    "protocol/messages.h",
    "protocol/schema.h",
    "protocol/learner.h",
    "plants/plant.h",
    "plants/batch.h",
    "plants/families/machine.h",
    "plants/families/reference.h",
    "plants/trig.h",
    "bridge/bridge.h",
    "boards/simulated/simulated.h",
    "bus/packet.h",
    "bus/dynamixel.h",
    "bus/feetech.h",
    "bus/value.h",
    "bus/servo.h",
    "bus/bus.h",
    "boards/bus_server/port.h",
    "boards/servos/emulated.h",
)


def sizes() -> dict[str, str]:
    """The sizes of a host, by name."""
    text = (HERE / "protocol/sizes.h").read_text()
    return dict(re.findall(r"#define TL_SIZE_(\w+) TL_SIZES\(\w+, \w+, (\w+)\)", text))


def declarations(text: str) -> str:
    """A header without comments, preprocessor lines, the C++ brackets and what only some builds have."""
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    text = re.sub(r"#ifdef (?:__cplusplus|TL_PLANT_OWN).*?#endif", "", text, flags=re.S)
    text = re.sub(r"#ifdef __AVR__.*?#else", "", text, flags=re.S)
    text = re.sub(r"\bTL_(?:ROM|IN_FLASH)\b", "", text)
    text = re.sub(r"\bTL_SIZE_(\w+)", lambda found: sizes()[found[1]], text)
    return re.sub(r"^#.*(?:\\\n.*)*$", "", text, flags=re.M)


def cdef() -> str:
    return "\n".join(declarations((HERE / name).read_text()) for name in HEADERS)


ffibuilder = cffi.FFI()
ffibuilder.cdef(cdef())
ffibuilder.set_source("rtu_edge._bridge", "\n".join(f'#include "firmware_bridge/{name}"' for name in HEADERS))

if __name__ == "__main__":
    print(cdef())
