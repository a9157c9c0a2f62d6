"""rtu-edge export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from rtu_edge.cli import complete, options
from rtu_edge.cli.outputs import check_not_read

_C = (".h", ".c")


@click.command(
    "export",
    epilog=options.examples(
        "rtu-edge export runs/robot -o policy.onnx", "rtu-edge export runs/robot -o policy.h --weights int8"
    ),
)
@click.argument("checkpoint", type=click.Path(exists=True, path_type=Path), shell_complete=complete.run)
@options.out("an ONNX file, or a C99 header (.h)", shown="policy.onnx in the checkpoint's folder")
@click.option("--weights", type=click.Choice(["float32", "int8"]), default="float32",
              help="Precision of the matrices  [default: float32]")  # fmt: skip
@click.option("--batch", type=click.IntRange(0, 1 << 20), metavar="N",
              help="Robots in one call; ONNX; 0: any number  [default: 1]")  # fmt: skip
@click.option("--sequence", is_flag=True, help="Whole sequences in one call; ONNX")
@click.option("--opset", type=int, metavar="N", help="Operator set; ONNX  [default: 17]")
@click.option("--limits", type=options.Number(), nargs=2, multiple=True, metavar="LOW HIGH",
              help="Range of an actuator in its unit, once for each; ONNX; adds the output command")  # fmt: skip
@click.option("--name", metavar="NAME", help="Prefix of names; C  [default: policy]")
@click.option("--learn", is_flag=True, help="Include the learner; C")
@click.option("--fixed", is_flag=True, help="Integers throughout, for processors without floating point; C")
def command(checkpoint: Path, out: Path | None, weights: str, learn: bool, fixed: bool, **given: Any) -> None:
    """Write a checkpoint's policy as ONNX, or as a C99 header.

    CHECKPOINT is a file, or the folder of a run.
    """
    from rtu_edge._base.errors import CheckpointError, ConfigError
    from rtu_edge.learn import load
    from rtu_edge.record import RunFolder

    if checkpoint.is_dir():
        checkpoint = checkpoint / RunFolder.CHECKPOINT
    path = out if out is not None else checkpoint.with_name(RunFolder.ONNX)
    in_c = path.suffix in _C
    asked = {name: value for name, value in given.items() if value is not None and value is not False and value != ()}
    in_c_only: dict[str, Any] = {"learn": learn, "fixed": fixed}
    for name in sorted({*asked, *(name for name, is_set in in_c_only.items() if is_set)}):
        if (name == "name" or name in in_c_only) != in_c:
            wanted = ".h" if not in_c else ".onnx"
            raise click.UsageError(f"--{name} is for a file that ends with {wanted}; -o names {path}")
    check_not_read(path, checkpoint)
    try:
        agent = load(checkpoint)
        if in_c:
            from rtu_edge.learn.c_policy import export_c

            export_c(agent, path, weights=weights, **in_c_only, **asked)
        else:
            from rtu_edge.learn.onnx import export_onnx

            if asked.get("batch") == 0:
                asked["batch"] = None
            export_onnx(agent, path, weights=weights, **asked)
    except CheckpointError:
        raise
    except ValueError as error:  # a learner without a policy
        raise ConfigError(f"{checkpoint}: {error}") from error
    check = _check_c(asked.get("name", "policy"), learn) if in_c else _check_onnx(path, checkpoint, asked)
    click.echo(f"{path}: {path.stat().st_size:,} bytes. {check}")


def _check_c(name: str, learn: bool) -> str:
    return f"Check it: {name}_test() in it" + (f", and {name}_learn_test()" if learn else "")


def _check_onnx(path: Path, checkpoint: Path, asked: dict[str, Any]) -> str:
    if asked.get("sequence") or (asked.get("batch") or 1) != 1:
        return "rtu-edge verify checks files of single steps"
    return f"Check it: rtu-edge verify {path} {checkpoint}"
