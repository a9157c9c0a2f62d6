"""A dry run of a release: build what would be uploaded, twice, check it, and print it. Uploads nothing.

    make release
    .venv/bin/python tools/release.py --python 3.11 --arch x86_64     # only these; for a trial

The source distribution of the last commit is unpacked in two folders of different names; the wheels of both have to be
equal to the byte. Then each file's metadata is checked as an index does, and the source distribution is installed with
this host's compiler. What would be uploaded stays in build/release/dist, with SHA256SUMS. docs/release.md has the rest.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path

from wheels import ARCHITECTURES, ROOT, run, supported

FOLDER = ROOT / "build/release"
SDIST = "import sys, scikit_build_core.build as b; print(b.build_sdist(sys.argv[1]))"
# What an installed source distribution has to do: with numpy and the dependencies alone.
LEARNS = (
    "import numpy as np, rtu_edge as rtu; a = rtu.StreamAC(3, 1, seed=1);"
    "x = np.random.default_rng(0).standard_normal((50, 3)).astype(np.float32);"
    "print(rtu.__version__, a.run(x, x[:, 0]).shape)"
)


def say(message: str) -> None:
    print(f"release: {message}", flush=True)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def source_distribution(clone: Path, to: Path) -> Path:
    """Of the last commit, without what the work tree holds beyond it."""
    run("git", "clone", "--quiet", "--no-hardlinks", ROOT, clone)
    return to / run(sys.executable, "-c", SDIST, to, cwd=clone).split()[-1]


def unpacked(archive: Path, to: Path) -> Path:
    with tarfile.open(archive) as file:
        file.extractall(to, filter="data")
    [folder] = to.iterdir()
    return folder


def different(first: Path, second: Path) -> list[str]:
    names = sorted({path.name for folder in (first, second) for path in folder.iterdir()})
    pairs = [(first / name, second / name) for name in names]
    return [a.name for a, b in pairs if not (a.exists() and b.exists() and digest(a) == digest(b))]


def installs_from_source(archive: Path, folder: Path) -> str:
    """pip compiles it with this host's compiler, in an environment of its own."""
    run(sys.executable, "-m", "venv", folder)
    run(folder / "bin/pip", "install", "--quiet", "--disable-pip-version-check", archive)
    return run(folder / "bin/python", "-c", LEARNS, cwd="/").strip()


def unreleased() -> list[str]:
    """What a person has to decide before an upload."""
    found = []
    if run("git", "status", "--porcelain", cwd=ROOT).strip():
        found.append("the work tree has changes that are not in the last commit")
    release = run(sys.executable, "-c", "import rtu_edge; print(rtu_edge.__version__)", cwd=ROOT).strip()
    if f"\n## {release}, unreleased" in (ROOT / "CHANGELOG.md").read_text():
        found.append(f"CHANGELOG.md calls {release} unreleased: put the date there")
    if f"v{release}" not in run("git", "tag", "--points-at", "HEAD", cwd=ROOT).split():
        found.append(f"the last commit has no tag v{release}")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--python", nargs="+", default=supported(), choices=supported())
    parser.add_argument("--arch", nargs="+", default=ARCHITECTURES, choices=ARCHITECTURES)
    given = parser.parse_args()
    began = time.monotonic()
    shutil.rmtree(FOLDER, ignore_errors=True)
    dist, again = FOLDER / "dist", FOLDER / "again"
    dist.mkdir(parents=True)
    again.mkdir()
    archive = source_distribution(FOLDER / "clone", dist)
    second = source_distribution(FOLDER / "another clone", again)
    say(f"{archive.name}: {archive.stat().st_size / 1e6:.2f} MB")
    for name, out in (("one", dist), ("the other", again)):
        source = unpacked(archive if out is dist else second, FOLDER / name)
        tool = (sys.executable, ROOT / "tools/wheels.py", "--python", *given.python, "--arch", *given.arch)
        code = subprocess.run([*map(str, tool), "--out", str(out), "--source", str(source)]).returncode
        if code != 0:
            return code
    if wrong := different(dist, again):
        say(f"two builds differ: {', '.join(wrong)}")
        return 1
    say("both builds are equal to the byte")
    print(run(sys.executable, "-m", "twine", "check", "--strict", *sorted(dist.iterdir())))
    say(f"the source distribution, compiled by pip: {installs_from_source(archive, FOLDER / 'environment')}")
    files = sorted(dist.iterdir())
    (dist / "SHA256SUMS").write_text("".join(f"{digest(path)}  {path.name}\n" for path in files))
    say(f"would upload, from {dist}:")
    for path in files:
        print(f"  {path.name}  {path.stat().st_size / 1e6:.2f} MB  sha256 {digest(path)[:16]}...")
    for reason in unreleased():
        say(f"not yet: {reason}")
    say(f"{len(files)} files in {time.monotonic() - began:.0f} s; nothing was uploaded")
    return 0


if __name__ == "__main__":
    sys.exit(main())
