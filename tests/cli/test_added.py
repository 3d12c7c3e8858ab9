"""Options that commands get by a decorator."""

from __future__ import annotations

import os
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from napari_wbc.cli.added import computing, training


@pytest.fixture
def call(monkeypatch):
    """Run a command that trains; return the options that it got."""
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
    got = {}

    @app.command()
    @computing
    @training(
        name="net",
        sets="Sets.",
        epochs=("9", 1),
        draws=("9", 0),
        batch_size=("9", 2),
        learning_rate=("0.1", 0),
    )
    def train(*, out: Annotated[str, typer.Option()], **shared: Any) -> None:
        got.update(out=out, threads=os.environ["OMP_NUM_THREADS"], **shared)

    def command(*arguments):
        got.clear()
        result = CliRunner().invoke(app, [*map(str, arguments)])
        return result.exit_code, result.output, got

    return command


def test_an_option_that_was_not_given_is_none(call):
    code, _, got = call("--out", "o", "--epochs", 3)
    assert code == 0
    assert (got.pop("out"), got.pop("epochs"), got.pop("threads")) == ("o", 3, "7")
    assert set(got) == {
        *("name", "data", "config", "draws", "batch_size", "learning_rate", "precision", "seed")
    }
    assert set(got.values()) == {None}


def test_threads_take_effect_before_the_command(call, monkeypatch):
    limited = []
    monkeypatch.setattr("napari_wbc.cli.added.limit_threads", limited.append)
    assert call("--out", "o", "--threads", 2)[0] == 0
    assert limited == [2]


def test_defaults_and_least_values_are_those_of_the_recipe(call):
    assert "[default: (net)]" in call("--help")[1]
    assert call("--out", "o", "--batch-size", 1)[0] == 2
