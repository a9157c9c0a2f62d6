"""The cffi module rtu_edge._bridge: the device's C as Python sees it.

Out of line, API mode: the compiler checks each declaration against the headers.
Each room keeps its declarations beside its headers, in a .cdef file.
"""

from pathlib import Path

from cffi import FFI

HERE = Path(__file__).resolve().parent

DECLARATIONS = ["plants/plants.cdef"]
HEADERS = ["firmware_bridge/plants/plant.h", "firmware_bridge/plants/trig.h"]

ffibuilder = FFI()
for name in DECLARATIONS:
    ffibuilder.cdef((HERE / name).read_text(encoding="utf-8"))
ffibuilder.set_source("rtu_edge._bridge", "\n".join(f'#include "{header}"' for header in HEADERS))
