"""rtu-edge watch."""

from __future__ import annotations

import contextlib
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rtu_edge.cli import complete, options
from rtu_edge.cli.common import reading

if TYPE_CHECKING:
    from rtu_edge.record.live import Follower
    from rtu_edge.tools.streams import Viewer

_LOOK_S = 0.5  # interval in which a new session is looked for
_TAKE_S = 0.02


@click.command("watch", epilog=options.examples("rtu-edge watch runs/robot --plotjuggler 9870 --prometheus 9464"))
@click.argument("run", type=click.Path(path_type=Path), shell_complete=complete.run)
@click.option("--plotjuggler", metavar="[HOST:]PORT", help="Send each step to PlotJuggler's UDP server, as JSON")
@click.option("--prometheus", type=click.IntRange(0, 65535), metavar="PORT", help="Serve /metrics for Prometheus")
@click.option(
    "--foxglove", type=click.IntRange(0, 65535), metavar="PORT", help="Serve each step to Foxglove, by default on 8765"
)
@click.option(
    "--address",
    metavar="ADDRESS",
    default="127.0.0.1",
    help="Address of the servers; any but loopback lets the network read the run  [default: 127.0.0.1]",
)
@options.seconds(None, "until Ctrl-C")
def command(
    run: Path,
    plotjuggler: str | None,
    prometheus: int | None,
    foxglove: int | None,
    address: str,
    seconds: float | None,
) -> None:
    """Show a run live in PlotJuggler, Foxglove or Prometheus, without delaying its loop.

    RUN is the folder of a run, or its blackbox.rtubox. The run may start later, or again. Its steps are read from
    shared memory: a viewer that is slow or away misses steps, and the run does not notice.
    """
    from rtu_edge._base.errors import ConfigError
    from rtu_edge.record import RunFolder
    from rtu_edge.record.live import Follower

    if plotjuggler is None and prometheus is None and foxglove is None:
        raise ConfigError("choose at least one of --plotjuggler, --prometheus and --foxglove")
    path = run if run.suffix == ".rtubox" else run / RunFolder.BLACKBOX
    with contextlib.ExitStack() as stack, Follower(path) as follower:
        viewers = _viewers(stack, follower, plotjuggler, prometheus, foxglove, address)
        with reading(path), contextlib.suppress(KeyboardInterrupt):
            _follow(follower, viewers, math.inf if seconds is None else seconds)
        click.echo(f"{follower.dropped + sum(viewer.dropped for viewer in viewers):,} steps missed")


def _viewers(
    stack: contextlib.ExitStack,
    follower: Follower,
    plotjuggler: str | None,
    prometheus: int | None,
    foxglove: int | None,
    address: str,
) -> list[Viewer]:
    """The chosen ones; each is closed with the stack."""
    from rtu_edge.tools import metrics, streams

    viewers: list[Viewer] = []
    if plotjuggler is not None:
        viewers.append(streams.PlotJuggler(*streams.host_and_port(plotjuggler, "--plotjuggler")))
        click.echo(f"PlotJuggler: JSON by UDP to {plotjuggler}")
    if prometheus is not None:
        counted = metrics.Metrics()
        server = metrics.MetricsServer(address, prometheus, lambda: counted.text(follower.dropped))
        stack.callback(server.close)
        viewers.append(counted)
        click.echo(f"Prometheus: http://{_shown(address)}:{server.port}/metrics")
    if foxglove is not None:
        served = streams.Foxglove(address, foxglove)
        viewers.append(served)
        click.echo(f"Foxglove: ws://{_shown(address)}:{served.port}")
    for viewer in viewers:
        stack.callback(viewer.close)
    return viewers


def _shown(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _follow(follower: Follower, viewers: list[Viewer], limit_s: float) -> None:
    begin_s = time.monotonic()
    look_s = -math.inf
    waiting = False
    while (now_s := time.monotonic()) - begin_s < limit_s:
        if now_s - look_s >= _LOOK_S:
            look_s = now_s
            if follower.look():
                head = follower.head
                assert head is not None
                for viewer in viewers:
                    viewer.begin(head)
                click.echo(f"session {head.session}: {len(head.observations)} observations, every {head.period_s:g} s")
            elif follower.head is None and not waiting:
                waiting = True
                click.echo(f"waiting for a run that writes {follower.path}")
        records = follower.take()
        if len(records):
            for viewer in viewers:
                viewer.send(records)
        else:
            time.sleep(_TAKE_S)
