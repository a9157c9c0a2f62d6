"""rtu-edge verify."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("verify")
@click.argument("policy", type=click.Path(exists=True, path_type=Path))
@click.argument("checkpoint", type=click.Path(exists=True, path_type=Path), required=False)
@click.option("--steps", type=click.IntRange(1), default=1000, show_default=True, help="How many to compare.")
@click.option(
    "--tolerance",
    type=click.FloatRange(0.0),
    default=1e-5,
    show_default=True,
    help="Largest difference allowed, in units of the action range.",
)
def command(policy: Path, checkpoint: Path | None, steps: int, tolerance: float) -> None:
    """Compare an ONNX file with its checkpoint, step by step, in ONNX Runtime and natively.

    POLICY is the file, or the folder of a run; CHECKPOINT is by default the one beside it.
    """
    from rtu_edge._base.errors import CheckFailed, ConfigError
    from rtu_edge.learn import load
    from rtu_edge.learn.onnx import verify_onnx
    from rtu_edge.learn.onnx.probe import ExportError
    from rtu_edge.record import RunFolder

    if policy.is_dir():
        policy = policy / RunFolder.ONNX
    checkpoint = checkpoint if checkpoint is not None else policy.with_name(RunFolder.CHECKPOINT)
    for path in (policy, checkpoint):
        if not path.is_file():
            raise ConfigError(f"{path}: no such file")
    agent = load(checkpoint)
    try:
        difference = float(verify_onnx(policy, agent, steps=steps))
    except ValueError as error:  # a file of another agent, say
        raise ConfigError(str(error)) from error
    except ExportError:
        raise
    except RuntimeError as error:  # of onnxruntime, on the way
        raise ConfigError(f"{policy}: {error}") from error
    verdict = f"largest difference {difference:.3e} over {steps:,} steps; allowed {tolerance:g} of the action range"
    if not difference <= tolerance:
        raise CheckFailed(f"{policy}: {verdict}")
    click.echo(f"{policy}: {verdict}")
