"""Writes docs/cli.md, docs/cli_bus.md for servo buses and docs/cli_clone.md, from the commands themselves and the table
of JSON fields below: `make tables`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator

import click

from rtu_edge.cli import _GROUPS, cli

# Command -> its fields in the document that --json prints.
JSON: dict[str, str] = {
    "doctor": "`findings`: `check` `state` (`ok`, `note`, `warn`, `fail`) `found` `effect` `commands` of each",
    "ports": "`ports`: `path` `device` `driver` `description` `hint` of each",
    "device": "`port` `plant` `pid` `hello` `channels`",
    "bus scan": "`port` `family` `servos`",
    "bus monitor": "`port` `family` `servos` `counters`",
    "monitor": "`event`; of a port with an owner its status, `channels` and `companions`, otherwise `device_state` and"
    " counts; `--once`: one line",
    "estop": "`stopped` (ports) `by` (`owner`, `direct`) `ended_pid`",
    "run": "`run` `dry_run` `state_hash` `steps` `episodes` `seconds` `reason` `message` `mean_return` `counters` "
    "`link` `privileges` `findings`",
    "size": "`kind` `bytes` `flops` `times` `sections` `learner_monitor`",
    "promote": "`run` `mode` `sufficient` `against` `evidence` `output`",
    "clone": "`log` `checkpoint` `state_hash` `cut` `steps` `episodes` `passes` `action_error` `value_error` `sigma` "
    "`reward_per_step`",
    "verify": "`policy` `checkpoint` `steps` `difference` `tolerance` `passed`",
    "inspect": "`kind` (`run`, `interrupted`, `session`, `service`, `checkpoint`) `path`; of a run `summary` "
    "`counters` `cut`, of a checkpoint `bytes` `state_hash` `learner` `sections`, of the others `files`",
    "log repair": "`logs`: `log` `path` `records` `episodes` `chunks` `left_out` of each",
    "replay": "`log` `session` `cut` `records` `steps` `hashes` `exact` `equal` `problem` `largest` `largest_value` "
    "`final_equal` `ended` `state_hash`; with `--set` `set` `transitions` `comparison` `folder`",
    "blackbox": "`file` `records` `torn` `missing` `recovered` `session` `started` `configuration` `observations` "
    "`actuators` `last`",
    "ckpt ls": "`checkpoints`: `file` `steps` `episodes` `saved` `bytes` `state_hash` `problem` of each",
    "ckpt diff": "`a` `b` `configuration` `sections`",
    "study": "`study` `runs` `seconds` `verdicts` `pairs` `plants` `files`; without NAME `studies`: `name` `title` "
    "`steps` of each",
    "tune": "`study` `files` `trials`: `number` `value` `settings` of each, the best first, and a summary of its runs",
    "hil list": "`faults`: `name` `kind` `expect` of each",
    "hil kinds": "`kinds`: `kind` `help` `parameters` of each",
    "hil run": "`suite` `started` `seed` `seconds` `version` `host` `ttl_ms` `results` `report` `stopped`",
    "hil show": "`version` `devices` `cases` `row` and more",
    "bench loop": "`started` `settings` `system` `privileges` `steps` `seconds` `parts` `worst` `picture` and more",
    "bench soak": "`hours` `steps` `seconds` `sessions` `faults` `counters` `growth` `report` and more",
}

_HEAD = """\
# Command line

Reference of `rtu-edge`, for users. `--help` adds examples.

| exit code | meaning |
|---|---|
| 0 | success |
| 1 | a check failed: `verify`, `replay --verify`, `promote`, `hil run`, `demo`, `doctor` |
| 2 | usage, configuration, or a file that cannot be used |
| 3 | device or port |
| 4 | safety stop |
| 5 | the learner does not fit the period |

Pipes and files get neither escape sequences nor wrapped lines. `NO_COLOR=1` removes colours on a terminal,
`TERM=dumb` all escape sequences. Errors go to stderr as `rtu-edge: ...`.

Shell completion:

```sh
rtu-edge completion bash > ~/.rtu-edge.bash     # and in ~/.bashrc: source ~/.rtu-edge.bash
rtu-edge completion zsh > "${fpath[1]}/_rtu-edge"
rtu-edge completion fish > ~/.config/fish/conf.d/rtu-edge.fish
```
"""

_JSON_HEAD = """\
## JSON

`--json` prints one document to stdout (`monitor`: one a line) and everything else to stderr. Numbers that are not
finite are the strings "inf", "-inf" and "nan". On an error stdout may be empty; the exit code tells the kind.

| command | fields |
|---|---|
"""


_BUS_HEAD = """\
# Command line: servo buses

Reference of the commands `rtu-edge bus`, for people who build a robot from Dynamixel or Feetech servos. Exit codes and
options that all commands have are in [cli.md](cli.md); [servo_bus.md](servo_bus.md) shows the way from a box of servos
to a device.
"""

_CLONE_HEAD = """\
# Command line: clone

Reference of the command `rtu-edge clone`, for people who have a controller or its log and want a learner that starts
from there. Exit codes and options that all commands have are in [cli.md](cli.md); [start_good.md](start_good.md) shows
which log to record and how to learn on.
"""

# A command or group with a document of its own.
_OWN = {"bus": "cli_bus.md", "clone": "cli_clone.md", "watch": "watch.md", "export": "export.md"}


def leaves() -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, with its full name."""
    context = click.Context(cli)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from ((f"{name} {below}", command.commands[below]) for below in command.commands)
        else:
            yield name, command


def text() -> str:
    """docs/cli.md."""
    found = {name: command for name, command in leaves() if name.split()[0] not in _OWN}
    common = _common(list(found.values()))
    parts = [_HEAD, "## Common options\n", "| option | |", "|---|---|", *common.values(), ""]
    for heading, commands in _GROUPS.items():
        parts.append(f"## {heading}\n")
        for name in commands:
            if name in _OWN:
                parts.append(f"### {name}\n\n[Reference]({_OWN[name]})\n")
                continue
            parts += [_section(full, command, common) for full, command in found.items() if full.split()[0] == name]
    parts.append(_JSON_HEAD + _json(lambda name: name.split()[0] not in _OWN))
    return "\n".join(parts)


def own_text(path: str) -> str:
    """docs/cli_bus.md or docs/cli_clone.md."""
    return _own_text("bus", _BUS_HEAD) if path.endswith("bus.md") else _own_text("clone", _CLONE_HEAD)


def _own_text(group: str, head: str) -> str:
    found = {name: command for name, command in leaves() if name.split()[0] == group}
    common = _common(list(found.values()))
    shared = ["### Common options\n", "| option | |", "|---|---|", *common.values(), ""] if common else []
    parts = [head, *shared, *(_section(full, command, common) for full, command in found.items())]
    table = "## JSON\n\n| command | fields |\n|---|---|\n"
    return "\n".join([*parts, table + _json(lambda name: name.split()[0] == group)]).replace("\n### ", "\n## ")


def options_of(name: str) -> str:
    """The options of one command, as a table for a document of its own."""
    return "\n".join(["| option | |", "|---|---|", *dict(_rows(dict(leaves())[name])).values(), ""])


def _json(wanted: Callable[[str], bool]) -> str:
    return "".join(f"| `{name}` | {fields} |\n" for name, fields in JSON.items() if wanted(name))


def _rows(command: click.Command) -> Iterator[tuple[str, str]]:
    """Name and table row of each option."""
    context = click.Context(command)
    for option in command.get_params(context):
        record = option.get_help_record(context) if isinstance(option, click.Option) else None
        if record is not None and "--help" not in record[0]:
            yield option.opts[-1], f"| `{_cell(record[0])}` | {_cell(record[1])} |"


def _common(commands: list[click.Command]) -> dict[str, str]:
    """Rows of options that three commands or more have in the same words."""
    rows = Counter(row for command in commands for row in _rows(command))
    return {name: row for (name, row), count in rows.items() if count >= 3}


def _section(name: str, command: click.Command, common: dict[str, str]) -> str:
    context = click.Context(command, info_name=name)
    usage = " ".join(piece for piece in command.collect_usage_pieces(context) if piece != "[OPTIONS]")
    summary = " ".join((command.help or "").partition("\n\n")[0].split())
    lines = [f"### {name}\n", f"`{name} {usage}`: {summary}\n" if usage else f"{summary}\n"]
    rows = dict(_rows(command))
    own = [row for key, row in rows.items() if common.get(key) != row]
    shared = [f"`{key}`" for key, row in rows.items() if common.get(key) == row]
    lines += ["| option | |", "|---|---|", *own, ""] if own else []
    lines += [f"Common options: {', '.join(shared)}\n"] if shared else []
    return "\n".join(lines)


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|")
