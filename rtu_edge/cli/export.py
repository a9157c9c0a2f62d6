"""rtu-edge export."""

from __future__ import annotations

from pathlib import Path

import click

from rtu_edge.cli import complete, options


@click.command("export", epilog=options.examples("rtu-edge export runs/robot -o policy.onnx"))
@click.argument("checkpoint", type=click.Path(exists=True, path_type=Path), shell_complete=complete.run)
@options.out("an ONNX file", shown="policy.onnx in the checkpoint's folder")
def command(checkpoint: Path, out: Path | None) -> None:
    """Write a checkpoint's policy as ONNX.

    CHECKPOINT is a file, or the folder of a run.
    """
    from rtu_edge._base.errors import CheckpointError, ConfigError
    from rtu_edge.learn import load
    from rtu_edge.learn.onnx import export_onnx
    from rtu_edge.record import RunFolder

    if checkpoint.is_dir():
        checkpoint = checkpoint / RunFolder.CHECKPOINT
    path = out if out is not None else checkpoint.with_name(RunFolder.ONNX)
    try:
        export_onnx(load(checkpoint), path)
    except CheckpointError:
        raise
    except ValueError as error:  # a learner without a policy
        raise ConfigError(f"{checkpoint}: {error}") from error
    click.echo(f"{path}: {path.stat().st_size:,} bytes. Check it: rtu-edge verify {path} {checkpoint}")
