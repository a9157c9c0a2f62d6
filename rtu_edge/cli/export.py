"""rtu-edge export."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("export")
@click.argument("checkpoint", type=click.Path(exists=True, path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="The file to write.  [default: policy.onnx beside it]"
)
def command(checkpoint: Path, output: Path | None) -> None:
    """Write a checkpoint's policy as ONNX. CHECKPOINT is a file, or the folder of a run."""
    from rtu_edge._base.errors import CheckpointError, ConfigError
    from rtu_edge.learn import load
    from rtu_edge.learn.onnx import export_onnx
    from rtu_edge.record import RunFolder

    if checkpoint.is_dir():
        checkpoint = checkpoint / RunFolder.CHECKPOINT
    path = output if output is not None else checkpoint.with_name(RunFolder.ONNX)
    try:
        export_onnx(load(checkpoint), path)
    except CheckpointError:
        raise
    except ValueError as error:  # a learner without a policy
        raise ConfigError(f"{checkpoint}: {error}") from error
    click.echo(f"{path}: {path.stat().st_size:,} bytes. Check it: rtu-edge verify {path} {checkpoint}")
