"""rtu-edge export: forms of the file, options that do not belong to one."""

from __future__ import annotations

import onnx
import pytest
from click.testing import CliRunner

import rtu_edge as rtu
from rtu_edge.cli import cli


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("run") / "checkpoint.rtu"
    rtu.StreamAC(2, 1, units=4, hidden=4).save(path)
    return path


def export(checkpoint, *options):
    return CliRunner().invoke(cli, ["export", str(checkpoint), *options])


def test_forms_of_an_onnx_file(checkpoint, tmp_path):
    path = str(tmp_path / "policy.onnx")
    forms = ("--batch", "0", "--sequence", "--opset", "18", "--weights", "int8", "--limits", "-2", "3")
    done = export(checkpoint, "-o", path, *forms)
    assert done.exit_code == 0, done.output
    assert "verify checks files of single steps" in done.output
    model = onnx.load(path)
    assert [d.dim_param or d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim] == ["T", "N", 2]
    assert "command" in [item.name for item in model.graph.output]
    assert model.opset_import[0].version == 18


def test_a_c_file_with_its_learner(checkpoint, tmp_path):
    path = tmp_path / "arm.h"
    done = export(checkpoint, "-o", str(path), "--weights", "int8", "--name", "arm", "--learn")
    assert done.exit_code == 0, done.output
    assert "arm_test() in it, and arm_learn_test()" in done.output
    text = path.read_text()
    assert "arm_dense8" in text
    assert "arm_learn_step" in text


def test_the_checkpoint_itself_a_folder_and_a_missing_folder_are_refused(checkpoint, tmp_path):
    before = checkpoint.read_bytes()
    for path, message in (
        (checkpoint, "this command reads that file"),
        (tmp_path, "a folder; name a file"),
        (tmp_path / "none" / "p.h", f"there is no folder {tmp_path / 'none'}"),
    ):
        done = export(checkpoint, "-o", str(path))
        assert done.exit_code != 0
        assert f"-o {path}: {message}" in str(done.exception)
    assert checkpoint.read_bytes() == before
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("-o", "p.onnx", "--fixed"), "--fixed is for a file that ends with .h; -o names p.onnx"),
        (("-o", "p.h", "--fixed", "--weights", "int8"), "weights = 'int8': with fixed, expected 'float32'"),
        (("-o", "p.onnx", "--learn"), "--learn is for a file that ends with .h; -o names p.onnx"),
        (("-o", "p.h", "--sequence"), "--sequence is for a file that ends with .onnx"),
        (("-o", "p.onnx", "--batch", "-1"), "--batch"),
        (("-o", "p.onnx", "--opset", "3"), "opset"),
        (("-o", "p.onnx", "--limits", "1", "nan"), "nan"),
        (("-o", "p.h", "--name", "1st"), "name = '1st'"),
    ],
    ids=str,
)
def test_what_does_not_belong_to_a_form_is_refused(options, message, checkpoint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = export(checkpoint, *options)
    assert done.exit_code != 0
    assert message in f"{done.output} {done.exception}"
    assert list(tmp_path.iterdir()) == []
