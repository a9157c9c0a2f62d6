"""Take the pictures in docs/images: terminals of 80 x 24, the report and the HIL page at 390 and 1280 pixels.

    .venv/bin/python tools/screens.py [NAME ...]

Runs the commands behind a pseudo-terminal, in a temporary folder. Needs pyte and Pillow, and for the
pages Chromium (apt-get install chromium). NAME: only these, such as run or hil.
"""

from __future__ import annotations

import fcntl
import html
import os
import pty
import re
import select
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
COMMAND = str(Path(sys.executable).parent / "rtu-edge")
COLUMNS, ROWS = 80, 24
MOST_BYTES = 150_000  # of a picture

SUPERVISED = """
[device]
plant = "cartpole"

[loop]
clock = "lockstep"

[limits.force]
min = -10.0
max = 10.0
slew_per_s = 600.0

[sensor.x]
min = -1.6
max = 1.6
on_range = "fallback"

[supervisor]
dwell_steps = 25
recovery_steps = 10
max_switches = 64
switch_window = 2000

[fallback]
kind = "pd"

[fallback.pd.force]
p = { theta = -60.0, x = -1.5 }
d = { theta = -8.0, x = -3.0 }

[run]
steps = 60000
"""

CONTINUING = """
[device]
plant = "tank.c"

[loop]
clock = "lockstep"

[limits.pump]
min = 0.0
max = 12.0
slew_per_s = 60.0

[run]
steps = 60000
"""

REALTIME = """
[device]
plant = "servo"

[loop]
ttl_ms = 95

[limits.voltage]
min = -6.0
max = 6.0
slew_per_s = 100.0

[run]
name = "servo"
steps = 1500
"""


# ---------------------------------------------------------------- terminals


class Terminal:
    """A command behind a pseudo-terminal of 80 x 24."""

    def __init__(self, folder: Path, *command: str) -> None:
        import pyte

        self.command = command
        self._screen = pyte.Screen(COLUMNS, ROWS)
        self._stream = pyte.ByteStream(self._screen)
        self._begin = time.monotonic()
        self._pid, self._main = pty.fork()
        if self._pid == 0:
            os.chdir(folder)
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
            os.environ.update(TERM="xterm-256color", COLORTERM="truecolor")
            for name in ("COLUMNS", "LINES", "NO_COLOR"):
                os.environ.pop(name, None)
            os.execv(COMMAND, ["rtu-edge", *command])

    def read(self, seconds: float = float("inf")) -> bool:
        """Take in what it prints until so long after its start; False: it has ended."""
        while (left := self._begin + seconds - time.monotonic()) > 0:
            if not select.select([self._main], [], [], min(left, 0.1))[0]:
                continue
            try:
                part = os.read(self._main, 1 << 16)
            except OSError:
                return False
            if not part:
                return False
            self._stream.feed(part.replace(b"\x1b[2m", DIM))
        return True

    def until(self, pattern: str, seconds: float = 60.0) -> str:
        """Read until the screen shows a pattern; return what matched.

        Raises:
            TimeoutError: it does not come.
        """
        while time.monotonic() - self._begin < seconds:
            alive = self.read(time.monotonic() - self._begin + 0.05)
            if found := re.search(pattern, "\n".join(self._screen.display)):
                return found[0]
            if not alive:
                break
        raise TimeoutError(f"{' '.join(self.command)}: no {pattern} on its screen:\n" + "\n".join(self._screen.display))

    def end(self) -> int:
        """Wait for its end; return the exit code."""
        self.read()
        return os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])

    def save(self, name: str) -> None:
        """Write the screen as docs/images/screen-NAME.svg."""
        write(f"screen-{name}.svg", svg(f"rtu-edge {' '.join(self.command)}", self._screen).encode())


COLOURS = {
    "default": "#d7dee5", "black": "#5b6772", "red": "#ff7b72", "green": "#56d364", "brown": "#e3b341",
    "blue": "#79c0ff", "magenta": "#d2a8ff", "cyan": "#39c5cf", "white": "#f0f3f6",
}  # fmt: skip
DIM = b"\x1b[38;2;139;152;165m"  # pyte has no dim text
WIDTH, HEIGHT, TOP, SIDE = 8.43, 18.0, 34.0, 14.0  # of a character and of the frame, pixels


def svg(title: str, screen: Any) -> str:
    """A screen of pyte as SVG: text stays text."""
    title = title if len(title) < COLUMNS else f"{title[: COLUMNS - 3]}..."
    width, height = COLUMNS * WIDTH + 2 * SIDE, ROWS * HEIGHT + TOP + 12
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="14">',
        f"<title>{html.escape(title)}</title>",
        f'<rect width="{width:.0f}" height="{height:.0f}" rx="8" fill="#10161c"/>',
        f'<text x="{SIDE}" y="21" fill="#8b98a5" font-size="12.5">$ {html.escape(title)}</text>',
    ]
    for row in range(ROWS):
        line = [screen.buffer[row][column] for column in range(COLUMNS)]
        at = 0
        while at < COLUMNS:
            end = at + 1
            while end < COLUMNS and style_of(line[end]) == style_of(line[at]):
                end += 1
            text = "".join(each.data for each in line[at:end])
            if text.strip():
                lead = len(text) - len(text.lstrip())
                parts.append(piece(text.strip(), at + lead, row, *style_of(line[at])))
            at = end
    return "\n".join([*parts, "</svg>\n"])


def style_of(character: Any) -> tuple[str, bool]:
    """Colour and weight of a character."""
    colour = character.fg
    return COLOURS.get(colour, f"#{colour}"), bool(character.bold)


def piece(text: str, column: int, row: int, colour: str, bold: bool) -> str:
    """A piece of text of one style."""
    x, y = SIDE + column * WIDTH, TOP + row * HEIGHT + 13
    weight = ' font-weight="bold"' if bold else ""
    return (
        f'<text x="{x:.1f}" y="{y:.0f}" textLength="{len(text) * WIDTH:.1f}" fill="{colour}" xml:space="preserve"'
        f"{weight}>{html.escape(text)}</text>"
    )


# ---------------------------------------------------------------- pages


def shoot(page: Path, name: str, width: int, height: int) -> None:
    """Write the top of a page as docs/images/NAME.png, as Chromium shows it in a window of that width.

    Raises:
        FileNotFoundError: there is no Chromium.
    """
    from PIL import Image

    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        raise FileNotFoundError("chromium: not found; apt-get install chromium")
    with tempfile.TemporaryDirectory() as folder:
        # A window is never narrower than some 500 pixels; a frame in it is.
        frame, shot = Path(folder, "frame.html"), Path(folder, "shot.png")
        frame.write_text(
            f'<body style="margin:0"><iframe src="{page.resolve().as_uri()}" '
            f'style="border:0;width:{width}px;height:{height}px"></iframe>'
        )
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--screenshot={shot}"]
        size = f"--window-size={max(width, 600)},{height}"
        subprocess.run([browser, *options, size, frame.as_uri()], check=True, capture_output=True, timeout=120)
        image = Image.open(shot).convert("RGB").crop((0, 0, width, height))
        image.quantize(64, dither=Image.Dither.NONE).save(shot, optimize=True)
        write(f"{name}.png", shot.read_bytes())


def write(name: str, data: bytes) -> None:
    """Write a picture; raises ValueError where it is larger than MOST_BYTES."""
    if len(data) > MOST_BYTES:
        raise ValueError(f"{name}: {len(data):,} bytes; at most {MOST_BYTES:,}")
    (IMAGES / name).write_bytes(data)
    print(f"docs/images/{name}  {len(data):,} bytes")


# ---------------------------------------------------------------- what is shown


def endless(folder: Path) -> Path:
    """The tank of the examples without an end of its episodes: a continuing plant."""
    text = (ROOT / "examples" / "hil_project" / "tank.c").read_text()
    path = folder / "tank.c"
    path.write_text(text.replace(".max_steps = 500u", ".max_steps = 0u"))
    return path


def run(folder: Path) -> None:
    """An episodic plant while it learns, and the end of the run."""
    shown = Terminal(folder, "run", "--sim", "--steps", "40000", "--name", "first")
    shown.until(r"return \(last 20\) [1-9]\d\d", 60)
    shown.save("run")
    shown.end()
    shown.save("run-end")


def continuing(folder: Path) -> None:
    """A continuing plant behind a slew limit."""
    endless(folder)
    (folder / "tank.toml").write_text(CONTINUING)
    shown = Terminal(folder, "run", "tank.toml")
    shown.until(r"step 2\d,\d\d\d", 60)
    shown.save("continuing")
    shown.end()
    shown.save("continuing-end")


def monitor(folder: Path) -> None:
    """A run in real time, and the monitor next to it."""
    (folder / "servo.toml").write_text(REALTIME)
    driven = Terminal(folder, "run", "servo.toml")
    port = driven.until(r"/dev/pts/\d+")
    driven.until(r"step [5-9]\d\d")
    shown = Terminal(folder, "monitor", port, "--seconds", "4")
    shown.read(3.0)
    shown.save("monitor")
    driven.end()
    driven.save("realtime-end")
    shown.end()


def report(folder: Path) -> None:
    """The report of a supervised run."""
    (folder / "supervised.toml").write_text(SUPERVISED)
    Terminal(folder, "run", "supervised.toml").end()
    page = folder / "runs" / "supervised" / "report.html"
    shoot(page, "report-1280", 1280, 2000)
    shoot(page, "report-390", 390, 2600)
    shown = Terminal(folder, "inspect", "runs/supervised")
    shown.end()
    shown.save("inspect")


def hil(folder: Path) -> None:
    """Some faults on two targets: the terminal and the page."""
    faults = ("one command in five is lost", "no command arrives", "old commands come again")
    only = [word for fault in faults for word in ("--only", fault)]
    shown = Terminal(folder, "hil", "run", "--target", "sim", "--target", "process", "--out", "hil", *only)
    shown.end()
    shown.save("hil")
    shoot(folder / "hil" / "report.html", "hil-1280", 1280, 1100)
    shoot(folder / "hil" / "report.html", "hil-390", 390, 2000)


PICTURES: dict[str, Callable[[Path], None]] = {each.__name__: each for each in (run, continuing, monitor, report, hil)}


def main(names: list[str]) -> int:
    """Take all pictures, or those named."""
    unknown = [name for name in names if name not in PICTURES]
    if unknown:
        print(f"{unknown[0]}: must be one of {', '.join(PICTURES)}", file=sys.stderr)
        return 2
    for name in names or PICTURES:
        with tempfile.TemporaryDirectory() as folder:
            PICTURES[name](Path(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
