"""Write the C source of a cffi module: emit_cffi.py BUILDER OUTPUT, where BUILDER defines `ffibuilder`."""

import runpy
import sys


def main(builder: str, output: str) -> None:
    runpy.run_path(builder)["ffibuilder"].emit_c_code(output)


if __name__ == "__main__":
    main(*sys.argv[1:])
