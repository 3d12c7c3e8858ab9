"""The command line ``napari-wbc``.

Exit codes: 0 done, 2 wrong arguments, 3 some files failed and the rest was written.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer import Option

from napari_wbc import __version__
from napari_wbc.cli.added import computing, tidy
from napari_wbc.cli.analyze import adapt, analyze, classify, demo
from napari_wbc.cli.batch import batch
from napari_wbc.cli.choose import choose, doubts
from napari_wbc.cli.compare import compare, evaluate
from napari_wbc.cli.explain import explain
from napari_wbc.cli.models import models_app
from napari_wbc.cli.progress import note, say
from napari_wbc.cli.project import agreement, export, h20, verify
from napari_wbc.cli.report import audit, report
from napari_wbc.cli.sets import set_app
from napari_wbc.cli.train import finetune, train_app
from napari_wbc.errors import WbcError

WRONG_ARGUMENTS = 2
# Errors of ours are one line, see `main`; those of the program keep Python's own traceback.
app = typer.Typer(
    name="napari-wbc",
    help="Locate, classify and count white blood cells in stained blood-film images.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
command: Callable[..., Any]
# In the order of a laboratory's day, which is that of the help.
for command in (analyze, batch, classify, explain, adapt, demo):
    app.command()(computing(tidy(command)))
# These run no network, so they take no --threads.
for command in (export, audit, report, agreement, h20, verify):
    app.command()(tidy(command))
for command in (choose, doubts, finetune, evaluate, compare):
    app.command()(computing(tidy(command)))
app.add_typer(train_app, name="train")
app.add_typer(set_app, name="set")
app.add_typer(models_app, name="models")


def main() -> None:
    """Run the command line; a WbcError becomes one line on stderr and exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        # A file name that the terminal's encoding lacks must not end the run.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        app()
    except WbcError as error:
        note(f"napari-wbc: {error}")
        sys.exit(WRONG_ARGUMENTS)


def _version(asked: bool) -> None:
    if asked:
        say(f"napari-wbc {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    # Eager, so that it works without a command.
    version: Annotated[
        bool, Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    del version
