"""Wheels in empty environments, without a compiler: sizes, import times, a demo of five seconds, every command.

    make empty
    .venv/bin/python tools/empty.py [WHEEL ...]     # by default those in dist/, or one that tools/wheels.py makes

For each wheel for this host, by the Python of its tag: one environment without extras, for what a loop needs, and one
with `all` and `study`. Each command runs with a PATH without compilers, an empty home directory and an empty working
directory; a file in the home directory is a failure. Dependencies come from the package index, as wheels. Exit code 1
where something fails, or the package with all that it installs takes more than 55 MB beyond numpy.
"""

from __future__ import annotations

import dataclasses
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIMIT_MB = 55.0
IMPORTS = {
    "import numpy": ("", "import numpy"),
    "import rtu_edge, StreamAC, connect": ("import numpy", "import rtu_edge; rtu_edge.StreamAC, rtu_edge.connect"),
    "the command line": ("import numpy", "import rtu_edge.cli, rtu_edge.cli.run"),
}
TIMED = "import time; {before}; start = time.perf_counter(); {code}; print(1e3 * (time.perf_counter() - start))"
# A simulated plant in real time; and the service of a device at a port.
CONFIG = '[device]\nplant = "cartpole"\n[loop]\nttl_ms = 200\n[run]\nseconds = 5.0\n'
SERVICE = """
[device]
port = "port"
[loop]
ttl_ms = 200
[limits.force]
min = -5.0
max = 5.0
slew_per_s = 200.0
accel_per_s2 = inf
[run]
name = "served"
"""
ASK = "from rtu_edge.device import lock; print(lock.status('port')['arm_token'])"


@dataclasses.dataclass(frozen=True)
class Command:
    """A command line, the exit codes that are right, and words of its output."""

    line: str
    codes: tuple[int, ...] = (0,)
    words: str = ""


# All that the commands may leave in the working directory.
MADE = {"runs", "own.toml", "own.c", "start.rtu", "served.toml", "robot.toml", "sim.png", "box.svg", "box.npz"}
BASE = (
    Command("--version", words="rtu-edge "),
    Command("run own.toml", words="report: runs/own/report.html"),
    Command("inspect runs/own"),
    Command("replay runs/own"),
    Command("blackbox runs/own"),
    Command("bench loop --seconds 1", words='no picture: matplotlib is not installed: pip install "rtu_edge[report]"'),
    Command("doctor", (0, 1), 'pip install "rtu_edge[onnx]"'),
    Command("export runs/own", (2,), 'onnx is not installed: pip install "rtu_edge[onnx]"'),
    Command("demo", (2,), 'onnx is not installed: pip install "rtu_edge[onnx]"'),
)
DEMO = (
    "demo --set run.stop_return=30 --set loop.ttl_ms=200 --realtime-s 2"  # learns to 30 of 500, then the other stages
)
NO_RUNTIME = "onnxruntime is not installed"  # Python 3.15: there are no wheels
ALL = (
    Command("--help", words="Safety:"),
    Command("completion bash", words="complete"),
    Command("doctor", (0, 1), "onnxruntime"),
    Command(DEMO, words="exports"),
    Command("ports"),
    Command("bus scan nothing", (3,)),
    Command("bus monitor nothing 1", (3,)),
    Command("bus set-id nothing 1 2 --yes", (3,)),
    Command("bus calibrate nothing joint=1 --yes", (3,)),
    Command("bus serve nothing.toml", (2, 3)),
    Command("bus from-lerobot nothing.json", (2, 3)),
    Command("bus to-lerobot nothing.toml", (2, 3)),
    Command("init cartpole"),
    Command("size cartpole", words="us per step"),
    Command("run robot.toml --set run.seconds=2 --set loop.ttl_ms=200", words="report: runs/robot/report.html"),
    Command("run --sim --steps 3000", words="report: runs/sim/report.html"),
    Command("inspect runs/sim --report --plot sim.png"),
    Command("replay runs/sim --verify", words="equal to the bit"),
    Command("replay runs/sim --set learner.critic.step_size=0.5"),
    Command("blackbox runs/sim --plot box.svg --export box.npz"),
    Command("watch runs/sim --prometheus 0 --seconds 1", words="Prometheus: http://127.0.0.1:"),
    Command("watch runs/sim --foxglove 0", (2,), 'foxglove, which is not installed: pip install "rtu_edge[foxglove]"'),
    Command("log repair runs/sim/log.mcap"),
    Command("ckpt ls runs/sim"),
    Command("ckpt diff runs/sim/checkpoint.rtu runs/sim/checkpoint.1.rtu"),
    Command("ckpt rollback runs/sim"),
    Command("clone robot.toml runs/sim -o start.rtu --passes 2", words="Learn on"),
    Command("promote runs/sim", (1,), "does not suffice"),
    Command("export runs/sim"),
    Command("verify runs/sim/policy.onnx runs/sim/checkpoint.rtu", words="allowed"),
    Command("firmware own.c", (3,), "no C compiler there"),
    Command("hil list"),
    Command("hil kinds"),
    Command("hil run --only flip --target sim --report runs/hil.json", (0, 1)),
    Command("hil show runs/hil.json", words="servo"),
    Command("bench loop --seconds 1", words="latency.png"),
    Command("bench soak --hours 0.01", (0, 1)),
    Command("bench drops --count 1", (0, 1)),
    Command("study"),
    Command("study cartpole --seeds 1 --steps 2000 --workers 1", words="study.png"),
    Command("tune cartpole --search learner.units=8:16 --trials 2 --seeds 1 --steps 2000", words="tune.png"),
)
DEVICE, SERVE = "device cartpole --link port", "serve served.toml"
# With DEVICE and then SERVE running; TOKEN is the number that the service shows.
SERVED = (
    Command("service served.toml", words="ExecStart"),
    Command("monitor served.toml --once"),
    Command("arm served.toml --token TOKEN", words="told to arm"),
    Command("estop served.toml", words="confirmed by the device"),
    Command("clear port"),
)


class Empty:
    """A virtual environment with a wheel, a home directory and a working directory that are empty."""

    def __init__(self, folder: Path, python: str) -> None:
        self.home, self.work = folder / "home", folder / "work"
        for path in (self.home, self.work):
            path.mkdir(parents=True)
        must(python, "-m", "venv", "--without-pip", folder / "env")
        self._pip = sys.executable  # or of the wheel's Python: a pip may not run on a later one
        if python != sys.executable:
            must(python, "-m", "venv", folder / "pip")
            self._pip = str(folder / "pip/bin/python")
        self.bin = folder / "env/bin"
        self.python = self.bin / "python"
        self.variables = {"PATH": str(self.bin), "HOME": str(self.home), "COLUMNS": "200"}
        self.site = Path(must(self.python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
        self.failed = 0

    def install(self, *what: str | Path) -> float:
        """Install from wheels only, without a compiler; returns the size of all packages, MB.

        Where a dependency has no wheel for this Python, it is compiled here, and its name is printed.
        """
        pip = (self._pip, "-m", "pip", "--disable-pip-version-check", "--python", self.python, "install")
        done = run(*pip, "--only-binary", ":all:", *what, env={**os.environ, **self.variables})
        if done.returncode != 0:
            text = must(*pip, "--only-binary", "rtu_edge", *what)
            # Compiled now, or from pip's cache: wheels of the index have a manylinux tag.
            lines = r"^ *(?:Building wheel for |Using cached (?=\S+-linux_\w+\.whl))(\w+)"
            built = sorted(set(re.findall(lines, text, re.MULTILINE)))
            print(f"no wheels for this Python, so compiled: {', '.join(built)}")
        return megabytes(self.site)

    def time(self, names: tuple[str, ...]) -> None:
        for name in names:
            first, code = IMPORTS[name]
            timed = TIMED.format(before=first or "pass", code=code)
            best = min(float(must(self.python, "-c", timed, cwd=self.work, env=self.variables)) for _ in range(5))
            print(f"{name}: {best:.0f} ms" + (", beyond numpy" if first else ""))

    def begin(self, line: str) -> subprocess.Popen[str]:
        """A command that runs until it is stopped."""
        return subprocess.Popen(
            [self.bin / "rtu-edge", *line.split()],
            cwd=self.work, env=self.variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip

    def check(self, command: Command) -> None:
        """Run a command, and print whether all is right."""
        start = time.monotonic()
        done = run(self.bin / "rtu-edge", *command.line.split(), cwd=self.work, env=self.variables, input="")
        seconds = time.monotonic() - start
        right = done.returncode in command.codes and command.words in done.stdout and "Traceback" not in done.stdout
        print(f"{'ok  ' if right else 'FAIL'} {seconds:4.1f} s  rtu-edge {command.line}: exit code {done.returncode}")
        if not right:
            print(done.stdout)
        self.failed += not right
        self.check_home(command.line)

    def check_home(self, line: str) -> None:
        if left := sorted(str(path.relative_to(self.home)) for path in self.home.rglob("*")):
            print(f"FAIL rtu-edge {line}: left in the home directory: {', '.join(left)}")
            shutil.rmtree(self.home)
            self.home.mkdir()
            self.failed += 1


def run(*command: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        **options,  # type: ignore[call-overload]
    )


def must(*command: str | Path, **options: object) -> str:
    done = run(*command, **options)
    if done.returncode != 0:
        sys.exit(f"empty: {' '.join(map(str, command))}\n{done.stdout}")
    return str(done.stdout)


def megabytes(site: Path) -> float:
    """Size of all files, also of compiled ones, MB."""
    return sum(path.lstat().st_size for path in site.rglob("*") if not path.is_dir()) / 1e6


def sizes(site: Path) -> str:
    """Of what was installed, the largest first, MB."""
    each = [(path.name, megabytes(path) if path.is_dir() else path.stat().st_size / 1e6) for path in site.iterdir()]
    return "   ".join(f"{name} {size:.1f}" for name, size in sorted(each, key=lambda row: -row[1])[:12])


def base(wheel: Path, python: str, folder: Path) -> int:
    """Without extras; returns the number of failures."""
    empty = Empty(folder, python)
    numpy, whole = empty.install("numpy"), empty.install(wheel)
    print(f"numpy {numpy:.1f} MB; beyond it {whole - numpy:.1f} MB, at most {LIMIT_MB:g}")
    print(sizes(empty.site))
    empty.time(tuple(IMPORTS))
    (empty.work / "own.toml").write_text(CONFIG)
    for command in BASE:
        empty.check(command)
    return empty.failed + (whole - numpy > LIMIT_MB)


def complete(wheel: Path, python: str, folder: Path) -> int:
    """With all extras; returns the number of failures."""
    empty = Empty(folder, python)
    for extras in ("all", "all,study"):
        print(f"with [{extras}] {empty.install(f'rtu_edge[{extras}] @ {wheel.as_uri()}'):.1f} MB")
    print(sizes(empty.site))
    (empty.work / "own.c").write_text("")
    (empty.work / "served.toml").write_text(SERVICE)
    runtime = any(empty.site.glob("onnxruntime"))
    for command in ALL:
        needs = not runtime and command.line.partition(" ")[0] in ("demo", "verify")
        empty.check(Command(command.line, (2,), NO_RUNTIME) if needs else command)
    served(empty)
    if more := {path.name for path in empty.work.iterdir()} - MADE:
        print(f"FAIL left in the working directory: {', '.join(sorted(more))}")
    return empty.failed + len(more)


def served(empty: Empty) -> None:
    """The commands of a service, with the service and its device."""
    with ending(empty.begin(DEVICE)):
        until((empty.work / "port").exists)
        empty.check(SERVED[0])
        with ending(empty.begin(SERVE)):
            for command in SERVED[1:]:
                if "TOKEN" in command.line:
                    token = must(empty.python, "-c", ASK, cwd=empty.work, env=empty.variables).strip()
                    command = dataclasses.replace(command, line=command.line.replace("TOKEN", token))
                empty.check(command)
    empty.check_home("device, serve")


class ending:
    """Ends a process with the block. Not by SIGINT, which a command in the background of a shell ignores."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def __enter__(self) -> None:
        time.sleep(3.0)  # its start, on a slow computer

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(20)


def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    give_up = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > give_up:
            sys.exit("empty: no device appeared")
        time.sleep(0.05)


def python_of(wheel: Path) -> str:
    """The interpreter that the wheel's tag names; "" where there is none, or for another host."""
    tag = re.search(r"-cp3(\d+)-cp3\d+(t?)-\w+_(x86_64|aarch64)\.whl$", wheel.name)
    if tag is None or tag[3] != platform.machine():
        return ""
    version = f"3.{tag[1]}{tag[2]}"
    if version == "{}.{}".format(*sys.version_info[:2]):
        return sys.executable
    found = shutil.which(f"python{version}")
    roots = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for path in [found, *sorted(map(str, roots.glob(f"{version}.*/bin/python")))]:
        if path and run(path, "-c", "").returncode == 0:
            return path
    unpacked = run(ROOT / "tools/debian_python.sh", version) if version in ("3.14", "3.15") else None
    return unpacked.stdout.split()[-1] if unpacked is not None and unpacked.returncode == 0 else ""


def main() -> int:
    failed, missing = 0, []
    with tempfile.TemporaryDirectory() as folder:
        given = [Path(name).resolve() for name in sys.argv[1:]] or sorted((ROOT / "dist").glob("*.whl"))
        for wheel in given or [
            Path(must(sys.executable, ROOT / "tools/wheels.py", "--this", "--out", folder).splitlines()[-1])
        ]:
            print(f"\n{wheel.name}: {wheel.stat().st_size / 1e6:.1f} MB", flush=True)
            python = python_of(wheel)
            if not python:
                missing.append(wheel.name)
                print("no interpreter for it here")
                continue
            failed += base(wheel, python, Path(folder) / wheel.stem / "base")
            failed += complete(wheel, python, Path(folder) / wheel.stem / "all")
    print(f"\n{failed} failures" + (f"; without an interpreter here: {', '.join(missing)}" if missing else ""))
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
