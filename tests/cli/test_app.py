"""The command line: version, exit codes, one line for an error."""

from __future__ import annotations

import pytest

from napari_wbc import __version__


def test_the_version_is_told(call):
    assert call("--version") == (0, f"napari-wbc {__version__}\n", "")


@pytest.mark.parametrize(
    "arguments", [("analyze",), ("fly",), ("analyze", "x", "--out", "y", "--device", "tpu")]
)
def test_wrong_arguments_are_exit_code_2(call, arguments):
    assert call(*arguments)[0] == 2


def test_an_error_is_one_line(call, tmp_path):
    code, out, err = call("analyze", tmp_path / "none.png", "--out", tmp_path, "--quiet")
    assert (code, out) == (2, "")
    assert err.startswith("napari-wbc: ")
    assert err.count("\n") == 1


def test_the_card_of_weights_is_printed(call, weights):
    code, said, err = call("models", "card", weights)
    assert (code, err) == (0, "")
    assert "tiny" in said
