"""No file uses an old name (tests/old_names.txt), and old files with such names can be read
(rtu_edge/_base/old_names.py).
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from rtu_edge._base import old_names
from rtu_edge._base.errors import ConfigError
from rtu_edge.config import canonical, load_config, parse_config, write_config

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "tests" / "old_names.txt"
# Files that list or read the old names.
READERS = (
    ":!CHANGELOG.md",
    ":!findings",
    ":!tests/golden/formats",
    ":!tests/fuzz/corpus",
    ":!benchmarks/results",
    ":!rtu_edge/_base/old_names.py",
    ":!tests/old_names.txt",
    ":!tests/test_old_names.py",
)
MINIMAL = '[device]\nplant = "cartpole"\n'


def patterns() -> list[tuple[str, list[str], str]]:
    """Regular expression, pathspecs and new name of each line."""
    lines = [line for line in TABLE.read_text().splitlines() if line and not line.startswith("#")]
    rows = [line.split("\t") for line in lines]
    assert all(len(row) == 3 for row in rows), [row for row in rows if len(row) != 3]
    return [(pattern, [part.strip("'") for part in paths.split()], new) for pattern, paths, new in rows]


def listed(paths: list[str]) -> set[str]:
    """Tracked and new files of these pathspecs."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *paths]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    return {name for name in names if name}


def searched(paths: list[str]) -> list[Path]:
    """Files of these pathspecs; `:!` begins one that is left out. (git 2.39 itself lists nothing for some such
    pairs.)
    """
    without = [path.removeprefix(":!") for path in (*paths, *READERS) if path.startswith(":!")]
    names = listed([path for path in paths if not path.startswith(":!")]) - listed(without)
    return [ROOT / name for name in sorted(names) if (ROOT / name).is_file()]


def found(pattern: str, files: list[Path]) -> Iterator[str]:
    """Path, number and text of each line with an old name."""
    old = re.compile(pattern)
    for path in files:
        try:
            lines = path.read_text().splitlines()
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(lines, 1):
            if old.search(line):
                yield f"{path.relative_to(ROOT) if path.is_relative_to(ROOT) else path}:{number}: {line.strip()[:120]}"


def in_a_checkout() -> bool:
    return (ROOT / ".git").exists()


@pytest.mark.skipif(not in_a_checkout(), reason="git lists the files")
@pytest.mark.parametrize(("pattern", "paths", "new"), patterns(), ids=[new for _, _, new in patterns()])
def test_nothing_has_an_old_name(pattern: str, paths: list[str], new: str) -> None:
    files = searched(paths)
    assert files, f"{paths}: no file"
    wrong = list(found(pattern, files))
    assert not wrong, f"{len(wrong)} lines; write {new}:\n" + "\n".join(wrong[:40])


@pytest.mark.parametrize(
    "line",
    [
        "the input gate holds the last value",
        "[gate.theta]",
        'config.guard.snapshots, "guard"',
        "good_steps = 25",
        'counters["gate_held"] + counters["input_range"] + counters["guard_frozen"]',
        "policy.learn(reward, terminated)",
        'records["executed"]',
        "flags & RecordFlag.REPLACED",
        "rtu.plan(agent.config); `rtu-edge plan`",
        "rtu.TDPredictor(n_inputs=2)",
        "what drives the machine",
        "trace.all(Place.DEVICE_OUT)",
        'faults.Drop(way="to_host")',
        "from rtu_edge.runtime import Loop",
    ],
)
def test_a_planted_old_name_is_found(line: str, tmp_path: Path) -> None:
    planted = tmp_path / "planted.py"
    planted.write_text(f"# as it was\n{line}\n")
    assert [hit for pattern, _, _ in patterns() for hit in found(pattern, [planted]) if ":2:" in hit]


# ---------------------------------------------------------------- readers of old files


OLD = (
    "[supervisor]\ngood_steps = 7\n[guard]\nsnapshot_steps = 100\nsurvive_steps = 50\n[gate.x]\nhold_steps = 3\n"
    '[gate.theta]\non_range = "stop"\n'
)


def test_a_recorded_configuration_with_old_keys_is_read() -> None:
    config = parse_config(MINIMAL + OLD, recorded=True)
    assert config.supervisor.recovery_steps == 7
    assert (config.learner_monitor.snapshot_steps, config.learner_monitor.validation_steps) == (100, 50)
    assert config.sensor["x"].hold_steps == 3 and config.sensor["theta"].on_range.value == "stop"


def test_what_a_run_has_written_is_read_and_what_was_changed_by_hand_is_not(tmp_path: Path) -> None:
    """Detected by the file's first line, which has the hash of the others."""
    path = tmp_path / "config.toml"
    write_config(parse_config(MINIMAL), path)
    _, _, below = path.read_text().partition("\n")
    old = below.replace("[learner_monitor]", "[guard]").replace("recovery_steps", "good_steps")
    assert old != below
    import hashlib

    digest = hashlib.sha256(old.encode()).hexdigest()[:16]
    path.write_text(f"# sha256 of the lines below, first 16 digits: {digest}\n{old}")
    assert canonical(load_config(path)) == below
    path.write_text(path.read_text() + "\n# a word by hand\n")
    with pytest.raises(ConfigError, match="it is called learner_monitor now"):
        load_config(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[guard]\nenabled = true\n", r"guard = .*: unknown key; it is called learner_monitor now"),
        ("[gate.x]\nmin = 0\n", r"gate = .*: unknown key; it is called sensor now"),
        (
            "[supervisor]\ngood_steps = 3\n",
            r"supervisor\.good_steps = 3: unknown key; it is called supervisor\.recovery_steps now",
        ),
        (
            "[learner_monitor]\nsurvive_steps = 3\n",
            r"learner_monitor\.survive_steps = 3: unknown key; it is called learner_monitor\.validation_steps now",
        ),
    ],
)
def test_an_old_key_of_a_user_is_an_error_with_the_new_name(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_config(MINIMAL + text)


def test_an_old_key_next_to_its_new_one_is_refused() -> None:
    with pytest.raises(ConfigError, match="guard"):
        parse_config(MINIMAL + "[guard]\nenabled = true\n[learner_monitor]\nenabled = false\n", recorded=True)


def test_heads_summaries_and_answers_have_todays_names() -> None:
    head = old_names.head(
        {
            "gate": True,
            "machine": "m",
            "record": [["executed", "f4", 1], ["step", "u8", 0], 5, []],
            "learner": {"n_inputs": 2},
        }
    )
    record = [["applied", "f4", 1], ["step", "u8", 0], 5, []]
    assert head == {"command_limiter": True, "host": "m", "record": record, "learner": {"observation_size": 2}}
    stage = {
        "reason": "input",
        "counters": {"gate_held": 1, "input_stops": 2, "guard_frozen": 3, "replaced": 4, "steps": 5},
    }
    counters = {"limiter_held": 1, "sensor_stops": 2, "monitor_frozen": 3, "overridden": 4, "steps": 5}
    summary = old_names.summary({"machine": {}, "stages": {"learning": stage}})
    assert summary == {"host": {}, "stages": {"learning": {"reason": "sensor", "counters": counters}}}
    answer = old_names.status({"event": "status", "guard": 0, **stage})
    assert answer == {"event": "status", "learner_monitor": 0, "reason": "sensor", "counters": counters}


@pytest.mark.parametrize("plain", [None, 3, [], "x", {"record": 3, "learner": [], "stages": 7, "counters": None}])
def test_what_is_none_stays_as_it_is(plain: object) -> None:
    assert old_names.head(plain) == plain and old_names.summary(plain) == plain


def test_todays_names_are_not_changed() -> None:
    data = msgspec.to_builtins(parse_config(MINIMAL))
    assert old_names.configuration(data) == data
