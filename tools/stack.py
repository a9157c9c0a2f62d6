"""Worst stack of an image: frames by -fstack-usage, calls by the disassembly.

    python tools/stack.py build/boards/uno-servo/firmware.elf avr-

A frame without a .su file (libgcc's functions) is read from the instructions that push or subtract. An indirect call
reaches each function that POINTED_TO names for the caller's file. Nothing recurses. Interrupts do not nest: the deepest
one is added once.
"""

from __future__ import annotations

import functools
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Stack", "worst_stack"]

# What a file calls through a pointer, by the names that the sources give these functions: members of tl_plant and
# tl_bridge_config. Any other file: the members of a plant (a plant that wraps another one).
_PLANT = r"reset|step|observe\w*|apply|brake"
POINTED_TO = {"bridge.c": "reset_done", "send.c": "send|write_line", "drive.c": _PLANT}
BRIDGE = ("bridge.c", "send.c", "drive.c", "session.c", "limits.c", "param.c", "sheet.c")
INTERRUPTS = re.compile(r"__vector_\d+|tl_port_interrupt|tl_port_tick|on_trap")
_LABEL = re.compile(r"^([0-9a-f]+) <([^.>][^>]*)>:$")  # no local label
_TARGET = re.compile(r"(?:0x|\b)([0-9a-f]+) <([^>+]+)>")


@dataclass
class Processor:
    """How a processor calls and pushes: mnemonics that call, that jump, that call what a register holds."""

    call: re.Pattern[str]
    indirect: re.Pattern[str]
    push: re.Pattern[str]
    pushed: int  # bytes of one push, where `push` has no number
    returns: int  # bytes that a call leaves on the stack by itself
    interrupted: int  # and an interrupt


PROCESSORS = {
    "avr-": Processor(re.compile(r"\b(r?call|r?jmp)\b"), re.compile(r"\be?icall\b"), re.compile(r"\bpush\b"), 1, 2, 2),
    "arm-none-eabi-": Processor(
        re.compile(r"\b(bl|b|b\.w|b\.n)\s"),
        re.compile(r"\bb(l)?x\s+(r\d|ip)"),
        re.compile(r"\bpush\s+\{(.*)\}"),
        4,
        0,
        32,
    ),
    "riscv64-unknown-elf-": Processor(
        re.compile(r"\b(jal|j|tail)\s"),
        re.compile(r"\bjalr\s+\w|\bjr\s+[at]"),
        re.compile(r"\badd(?:i|i16sp)?\s+sp,sp,-(\d+)"),
        0,
        0,
        0,
    ),
}


@dataclass
class Function:
    name: str
    file: str  # "" if the symbol is global
    calls: set[int] = field(default_factory=set)
    indirect: bool = False
    frame: int = 0

    @property
    def plain(self) -> str:
        """Its name in the source."""
        return re.sub(r"\..*", "", self.name)


@dataclass
class Stack:
    """Bytes, and the functions of the deepest path."""

    bytes: int
    main: tuple[str, ...]
    interrupt: tuple[str, ...]


def worst_stack(image: Path, prefix: str) -> Stack:
    """Return the worst stack of an image.

    Args:
        image: an ELF file; the .su files of its objects lie next to it.
        prefix: of its binutils.
    """
    functions, processor = _functions(image, prefix), PROCESSORS[prefix]
    usage = _usage(image.parent)
    ours = {file for file, _ in usage if file}  # a library jumps by a register, but calls nothing of ours
    for function in functions.values():
        known = usage.get((function.file, function.plain), usage.get(("", function.plain)))
        function.frame = function.frame if known is None else known

    def pointed_to(function: Function) -> set[int]:
        return _pointed_to(functions, function) if function.indirect and function.file in ours else set()

    @functools.cache
    def deepest(at: int) -> tuple[int, tuple[str, ...]]:
        function, best = functions[at], (0, tuple[str, ...]())
        for other in function.calls | pointed_to(function):
            n, below = deepest(other)
            best = max(best, (n + processor.returns, below))
        return function.frame + best[0], (function.name, *best[1])

    main = max(deepest(at) for at, function in functions.items() if function.name == "main")
    interrupts = [deepest(at) for at, function in functions.items() if INTERRUPTS.fullmatch(function.name)]
    extra, interrupt = max(interrupts, default=(-processor.interrupted, ()))
    return Stack(main[0] + extra + processor.interrupted, main[1], interrupt)


def _pointed_to(functions: dict[int, Function], caller: Function) -> set[int]:
    names = re.compile(POINTED_TO.get(caller.file, _PLANT))
    return {
        at
        for at, each in functions.items()
        if names.fullmatch(each.plain) and each.file not in BRIDGE and (each.file != caller.file or not each.indirect)
    }


def _usage(folder: Path) -> dict[tuple[str, str], int]:
    """Frames by file and name; a name alone has its largest."""
    found: dict[tuple[str, str], int] = {}
    for file in sorted(folder.rglob("*.su")):
        for line in file.read_text().splitlines():
            where, n, _ = line.split("\t")
            parts = where.split(":")
            name = re.sub(r"\..*", "", re.sub(r"\(.*", "", parts[-1]).split(" ")[-1])  # a clone counts as its source
            where_named = (Path(parts[0]).name, name)
            found[where_named] = max(found.get(where_named, 0), int(n))
            found["", name] = max(found.get(("", name), 0), int(n))
    return found


def _run(*command: str) -> list[str]:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def _files(image: Path, prefix: str) -> dict[int, str]:
    """The file of each function, by address; of a global one where its file has a local one is not known."""
    found, file = dict[int, str](), ""
    for line in _run(f"{prefix}objdump", "-t", str(image)):
        words = line.split()
        if len(words) >= 4 and words[-3] == "*ABS*" and "df" in words:
            file = words[-1]
        elif len(words) >= 5 and " l " in line[8:16] and re.fullmatch(r"[0-9a-f]+", words[0]):
            found[int(words[0], 16) & ~1] = file
    return found


def _functions(image: Path, prefix: str) -> dict[int, Function]:
    processor, files = PROCESSORS[prefix], _files(image, prefix)
    owner = {name: file for file, name in _usage(image.parent) if file}  # of global functions, whose names are unique
    text = _run(f"{prefix}objdump", "-d", str(image))
    functions: dict[int, Function] = {}
    current: Function | None = None
    for line in text:
        if label := _LABEL.match(line):
            at = int(label[1], 16)
            current = functions[at] = Function(label[2], files.get(at, owner.get(label[2], "")))
        elif current is not None:
            _read(line, current, processor)
    for function in functions.values():
        function.calls &= functions.keys()
    return functions


def _read(line: str, function: Function, processor: Processor) -> None:
    if push := processor.push.search(line):
        numbers = push.groups()
        if not numbers:
            function.frame += processor.pushed
        elif numbers[0].isdigit():
            function.frame += int(numbers[0])
        else:
            function.frame += processor.pushed * len(numbers[0].split(","))
    if processor.indirect.search(line):
        function.indirect = True
    target = _TARGET.search(line)
    if target and processor.call.search(line) and target[2] != function.name:
        function.calls.add(int(target[1], 16))


if __name__ == "__main__":
    found = worst_stack(Path(sys.argv[1]), sys.argv[2])
    print(f"{found.bytes} bytes\nmain       {' > '.join(found.main)}\ninterrupt  {' > '.join(found.interrupt)}")
