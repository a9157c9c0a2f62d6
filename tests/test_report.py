"""The report of a synthetic run: complete, self-contained, and all text escaped."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tracemalloc
import warnings
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fake_run
import logged
import numpy as np
import pytest

from rtu_edge.record import RunFolder, Stage, Summary
from rtu_edge.record.file import LogFile
from rtu_edge.record.old_formats import TELEMETRY, load_arrays
from rtu_edge.record.reader import Batch, read_log
from rtu_edge.report import page, views, write_picture, write_report
from rtu_edge.report.charts import Axis, Series, chart
from rtu_edge.report.digest import Curve, Digest, Times, running_mean
from rtu_edge.report.figures import last_episode


class Page(HTMLParser):
    """Checks that tags are closed in order."""

    EMPTY = frozenset({"meta", "link", "br", "use", "path", "image"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.count: dict[str, int] = {}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.count[tag] = self.count.get(tag, 0) + 1
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        self.count[tag] = self.count.get(tag, 0) + 1

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.EMPTY:
            assert self.open.pop() == tag


def test_the_page_is_complete_and_stands_alone(tmp_path: Path) -> None:
    path = write_report(fake_run.make(tmp_path))
    text = path.read_text()
    page = Page(text)
    assert page.open == []
    assert page.count["svg"] == 7  # learning, three signals of the episode, three times
    outside = re.findall(r"""(?:src|href)=["'](?!#|data:)""", text) + re.findall(r"url\((?!#)", text)
    assert outside == []
    assert "2 of 2 checks held" in text
    assert "a &lt;processor&gt; &amp; more" in text
    assert "units = 32" in text
    assert "NaN" not in text
    assert len(text) < 2_000_000


def test_ids_do_not_collide_between_pictures(tmp_path: Path) -> None:
    text = write_report(fake_run.make(tmp_path)).read_text()
    clips = re.findall(r'<clipPath id="([^"]+)"', text)
    assert len(clips) == len(set(clips))


def test_the_same_run_gives_the_same_page(tmp_path: Path) -> None:
    one = write_report(fake_run.make(tmp_path / "one")).read_text()
    two = write_report(fake_run.make(tmp_path / "two")).read_text()
    assert one == two


def test_a_failed_check_is_not_hidden(tmp_path: Path) -> None:
    text = write_report(fake_run.make(tmp_path, passed=False)).read_text()
    assert "1 of 2 checks held" in text
    assert 'class="mark bad">✗' in text


def test_what_the_learner_found_out_about_itself_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "signals", lambda timeline: "<svg></svg>")
    digests: Any = {"learning": SimpleNamespace(records=1, timeline=None)}
    for findings, words in (({}, ""), ({"saturated": 12_000, "<b>": 1}, "saturated (first in update 12,000)")):
        text = page._signals(Summary(name="x", stages={"learning": Stage(findings=findings)}), digests)
        assert words in text and ("Learner monitor" in text) == bool(words) and "<b>" not in text


def test_a_run_that_ended_at_once_has_a_page_too(tmp_path: Path) -> None:
    with RunFolder.create(tmp_path, "short") as folder:
        folder.save_summary(Summary(name="short", title="Nothing happened"))
        assert "Nothing happened" in write_report(folder).read_text()


def test_a_single_episode_and_odd_values_are_drawn(tmp_path: Path) -> None:
    folder = fake_run.make(tmp_path)
    arrays = load_arrays(folder.file(TELEMETRY))
    arrays["learning_episodes"] = arrays["learning_episodes"][:1]
    del arrays["control_episodes"]
    arrays["realtime"] = arrays["realtime"][:3]
    arrays["realtime"]["lateness_ns"] = 0
    arrays["realtime"]["x"][1] = np.inf
    fake_run.save(folder, arrays)
    assert Page(write_report(folder).read_text()).open == []


def test_an_episode_without_a_step_is_drawn_without_a_warning(tmp_path: Path) -> None:
    """The result of a dry run on a device whose episode has ended."""
    folder = fake_run.make(tmp_path)
    arrays = load_arrays(folder.file(TELEMETRY))
    arrays["learning_episodes"] = arrays["learning_episodes"][:1]
    arrays["learning_episodes"][["steps", "total_steps"]] = 0
    del arrays["control_episodes"]
    fake_run.save(folder, arrays)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_report(folder)


def test_a_folder_without_a_summary_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not the folder of a run"):
        write_report(RunFolder(tmp_path))


def test_the_picture_for_the_readme(tmp_path: Path) -> None:
    write_picture(fake_run.make(tmp_path), tmp_path / "run.png")
    assert (tmp_path / "run.png").read_bytes().startswith(b"\x89PNG")


def test_matplotlib_is_imported_on_demand() -> None:
    code = "import sys, rtu_edge.report, rtu_edge.record, rtu_edge.report.page; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_running_mean() -> None:
    assert running_mean(np.array([2.0, 4.0, 6.0, 8.0]), 2).tolist() == [2.0, 3.0, 5.0, 7.0]
    assert running_mean(np.array([]), 2).tolist() == []


def test_the_last_whole_episode_is_found() -> None:
    records = fake_run.records(np.random.default_rng(0), 1200)
    episodes = np.zeros(2, fake_run.EPISODE)
    episodes["episode"] = [3, 4]
    for size in (1, 7, 499, 1200):
        digest = Digest.of([Batch(records[at : at + size], episodes[:0]) for at in range(0, 1200, size)])
        digest.take(records[:0], episodes)
        found = last_episode({"realtime": digest})
        assert found is not None
        assert found["episode"].tolist() == [4] * 500
        assert found.tobytes() == records[records["episode"] == 4].tobytes()
    assert last_episode({}) is None


def test_a_second_run_of_a_name_gets_its_own_folder(tmp_path: Path) -> None:
    names = [RunFolder.create(tmp_path, "demo").path.name for _ in range(3)]
    assert names == ["demo", "demo-2", "demo-3"]


def test_events_survive_a_cut(tmp_path: Path) -> None:
    with RunFolder(tmp_path) as folder:
        folder.event("start", seed=1)
        folder.event("stop", reason="signal")
    path = folder.file(RunFolder.EVENTS)
    path.write_bytes(path.read_bytes()[:-5])
    assert [event["event"] for event in folder.events()] == ["start"]
    folder.close()


def test_a_report_from_the_log_is_the_one_of_the_run(tmp_path: Path) -> None:
    """Data collected while the loop ran, and data read from its log."""
    folder = RunFolder.create(tmp_path, "run")
    digest = Digest(20)
    kept, _ = logged.run(folder, logged.config_of("run.steps=3000"))
    for at in range(0, len(kept.records), 700):
        digest.take(kept.records[at : at + 700], kept.episodes[:0])
    digest.take(kept.records[:0], kept.episodes)
    log = read_log(folder.log())
    read = Digest.of(log.batches(), 20)
    assert read.records == digest.records == len(kept.records) and read.curve.episodes == len(kept.episodes) > 50
    assert read.curve.best == digest.curve.best and (read.curve.returns == kept.episodes["total_return"]).all()
    for name, times in digest.times.items():
        assert (times.counts == read.times[name].counts).all() and times.largest == read.times[name].largest
    one, two = read.last_episode, digest.last_episode
    assert one is not None and two is not None and one.tobytes() == two.tobytes()


def test_the_numbers_of_a_digest_are_those_of_all_records() -> None:
    rng = np.random.default_rng(0)
    for values in (rng.lognormal(3, 2, 50_000), rng.uniform(0, 0.02, 100), np.array([5.0]), np.zeros(7)):
        times = Times()
        for part in np.array_split(values, 7):
            times.take(part)
        for percent in (1, 50, 90, 99, 99.9):
            expected = float(np.percentile(values, percent, method="inverted_cdf"))
            assert abs(times.percentile(percent) - expected) <= 0.01 * expected + 0.01
        assert times.largest == values.max() and len(times) == len(values)
        edges = np.array([0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 1e3, 1e8])
        assert times.histogram(edges).tolist() == np.histogram(values, edges)[0].tolist()
    returns = rng.normal(100, 30, 10_000)
    for window in (1, 20, 1000):
        curve, means = Curve(window), running_mean(returns, window)
        for part in np.array_split(np.arange(len(returns)), 77):
            curve.take(part, returns[part])
        assert curve.best == pytest.approx(means[window - 1 :].max())
        assert len(curve.steps) <= 4096 and (curve.returns == returns[curve.steps.astype(int)]).all()
        assert curve.means == pytest.approx(means[curve.steps.astype(int)])


def test_a_digest_does_not_grow_with_the_run() -> None:
    """Neither with steps, nor with episodes, nor with an episode that never ends."""
    records = fake_run.records(np.random.default_rng(0), 1000)
    episodes = np.zeros(1000, fake_run.EPISODE)
    held = []
    tracemalloc.start()
    try:
        digest = Digest(20)
        for turn in range(400):
            records["episode"] = turn if turn < 200 else 200
            digest.take(records, episodes)
            if turn in (100, 199, 300, 399):
                held.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert held[1] - held[0] < 200_000 and held[3] - held[2] < 200_000 and held[3] < 8 << 20, held
    assert digest.records == 400_000 and digest.last_episode is not None and len(digest.last_episode) == 20_000


def test_a_report_names_what_is_missing_of_its_steps(tmp_path: Path) -> None:
    """A log that was cut, and one with a gap."""
    golden = Path(__file__).parent / "golden" / "formats" / "runs" / "sim"
    folder = RunFolder(tmp_path / "run")
    shutil.copytree(golden, folder.path)
    assert "is cut:" not in write_report(folder).read_text()
    whole = read_log(folder.log())
    records, episodes = whole.records, whole.episodes
    folder.log().write_bytes(folder.log().read_bytes()[:-40])
    assert "log.mcap is cut: it ends inside a part" in write_report(folder).read_text()
    folder.log().unlink()
    with LogFile(folder.log(), whole.head, None, episodes.dtype) as file:
        file.steps(np.delete(records, [5, 6, 7]))
    assert "log.mcap: 3 records were lost before it was written" in write_report(folder).read_text()


@pytest.mark.parametrize(
    ("high", "names"),
    [
        (20_000, ["0", "5k", "10k", "15k", "20k"]),
        (6_000, ["0", "2000", "4000", "6000"]),
        (2.2e6, ["0", "0.5M", "1M", "1.5M", "2M"]),
    ],
)
def test_the_numbers_of_an_axis_have_one_unit(high: float, names: list[str]) -> None:
    line = Series(np.array([0.0, high]), np.array([0.0, 1.0]))
    drawn = chart("", [line], x=Axis(0.0, high), y=Axis(words=lambda value: "y"))
    assert re.findall(r'<em class="x[^>]*>([^<]+)', drawn) == names


def test_the_highest_label_is_near_the_highest_return() -> None:
    drawn = chart("", [Series(np.array([0.0, 1.0]), np.array([0.0, 500.0]), dots=True)], y=Axis(low=0.0), height=220)
    assert re.findall(r'<em class="y[^>]*>([^<]+)', drawn)[-1] == "500"
