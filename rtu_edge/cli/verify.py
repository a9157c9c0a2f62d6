"""rtu-edge verify."""

from __future__ import annotations

from pathlib import Path

import click

from rtu_edge.cli import complete, options
from rtu_edge.cli.common import print_json


@click.command("verify", epilog=options.examples("rtu-edge verify runs/robot"))
@click.argument("policy", type=click.Path(exists=True, path_type=Path), shell_complete=complete.run)
@click.argument("checkpoint", type=click.Path(exists=True, path_type=Path), required=False)
@options.steps(1000)
@options.tolerance(1e-5)
@options.as_json()
def command(policy: Path, checkpoint: Path | None, steps: int, tolerance: float, as_json: bool) -> None:
    """Compare an ONNX policy with its checkpoint, step by step.

    ONNX Runtime and the native code run the same observations. POLICY is the ONNX file, or the folder of a run;
    CHECKPOINT is a file or a run's folder, by default the one with POLICY. Exit code 1 when they differ by more than
    the tolerance.
    """
    from rtu_edge._base.errors import CheckFailed, ConfigError
    from rtu_edge.learn import load
    from rtu_edge.learn.onnx import verify_onnx
    from rtu_edge.learn.onnx.probe import ExportError
    from rtu_edge.record import RunFolder

    if policy.is_dir():
        policy = policy / RunFolder.ONNX
        if not policy.is_file():
            raise ConfigError(f"{policy}: no such file; `rtu-edge export {policy.parent}` writes it")
    checkpoint = checkpoint if checkpoint is not None else policy.with_name(RunFolder.CHECKPOINT)
    if checkpoint.is_dir():
        checkpoint = checkpoint / RunFolder.CHECKPOINT
    for path in (policy, checkpoint):
        if not path.is_file():
            raise ConfigError(f"{path}: no such file")
    agent = load(checkpoint)
    try:
        difference = float(verify_onnx(policy, agent, steps=steps))
    except ValueError as error:  # for example a file of another agent
        raise ConfigError(str(error)) from error
    except ExportError:
        raise
    except RuntimeError as error:  # of onnxruntime, on the way
        raise ConfigError(f"{policy}: {error}") from error
    verdict = f"largest difference {difference:.3e} over {steps:,} steps; allowed {tolerance:g} of the action range"
    passed = difference <= tolerance
    if as_json:
        print_json(
            {
                "policy": str(policy),
                "checkpoint": str(checkpoint),
                "steps": steps,
                "difference": difference,
                "tolerance": tolerance,
                "passed": passed,
            }
        )
    if not passed:
        raise CheckFailed(f"{policy}: {verdict}")
    if not as_json:
        click.echo(f"{policy}: {verdict}")
