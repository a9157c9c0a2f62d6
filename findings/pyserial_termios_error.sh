#!/bin/sh
# pyserial: when the device is gone, some calls raise termios.error, which is no OSError and no SerialException.
#
# Package: pyserial 3.5 (PyPI), on Linux.
#
# Its documentation names serial.SerialException, an OSError, for all that fails on a port. After the device's end is
# gone read() and write() do raise that, and in_waiting a plain OSError.
# reset_input_buffer(), reset_output_buffer() and flush() pass on what the termios module raises, which derives from
# Exception alone. A loop that empties the buffer before each request, as servo libraries do, therefore ends with an
# error that its own handler for a lost port does not catch, and what the handler had to make safe is left as it was.
#
# Seen (Python 3.11, a pseudo-terminal whose other end was closed):
#     read                 serial.serialutil.SerialException: caught by OSError
#     write                serial.serialutil.SerialException: caught by OSError
#     in_waiting           builtins.OSError: caught by OSError
#     reset_input_buffer   termios.error: not caught by OSError or SerialException
#     reset_output_buffer  termios.error: not caught by OSError or SerialException
#     flush                termios.error: not caught by OSError or SerialException
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check pyserial==3.5
timeout 60 "$folder/venv/bin/python" - <<'PYTHON'
import os
import pty
import termios

import serial

device, end = pty.openpty()
port = serial.Serial(os.ttyname(end), 115200, timeout=0.1)
os.close(end)
os.write(device, b"ok")
assert port.read(2) == b"ok"
os.close(device)

calls = {
    "read": (lambda: port.read(1), serial.SerialException),
    "write": (lambda: port.write(b"x"), serial.SerialException),
    "in_waiting": (lambda: port.in_waiting, OSError),
    "reset_input_buffer": (port.reset_input_buffer, termios.error),
    "reset_output_buffer": (port.reset_output_buffer, termios.error),
    "flush": (port.flush, termios.error),
}
for name, (call, expected) in calls.items():
    try:
        call()
    except Exception as error:
        kind = type(error)
        caught = "caught by OSError" if isinstance(error, OSError) else "not caught by OSError or SerialException"
        print(f"{name:19}  {kind.__module__}.{kind.__name__}: {caught}")
        assert kind is expected, f"changed: {name} raises another error"
    else:
        raise SystemExit(f"changed: {name} raises no error")
PYTHON
