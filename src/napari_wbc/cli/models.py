"""``napari-wbc models``: a person's library of models in the shell."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from typer import Argument, Option

from napari_wbc.cli.progress import note, print_table, say, shown
from napari_wbc.pipeline.library import Branch, branches, in_use
from napari_wbc.pipeline.models import model_summary
from napari_wbc.weights.library import Library
from napari_wbc.weights.model import KINDS
from napari_wbc.weights.store import SUFFIXES, export_model

models_app = typer.Typer(
    help="List, adopt, roll back and hand on models.", invoke_without_command=True
)

Name = Annotated[str, Argument(help="Name of a model, see list.")]


@models_app.callback()
def _root(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        models_list()


@models_app.command("list")
def models_list() -> None:
    """List all models, each below the one that it was made from."""
    library = Library()
    table = Table("model", "in use", "kind", "classes", "validation", "when", "id")
    for branch in branches(library.models(), in_use(library)):
        table.add_row(*map(shown, _row(branch)))
    table.caption = shown(f"Your own are in {library.folder}")
    print_table(table)
    for message in filter(None, map(library.note, KINDS)):
        note(message)


def _row(branch: Branch) -> tuple[str, ...]:
    model = branch.model
    card = model.card
    name = "  " * branch.depth + model.name
    if card is None or model.damaged:
        return name, "", model.kind, "", "", branch.when, f"damaged: {model.damaged}"
    used = "yes" if branch.in_use else ""
    classes = str(len(card.classes))
    return name, used, model.kind, classes, branch.validation, branch.when, card.model_id


@models_app.command()
def card(name: Name) -> None:
    """Print the model card."""
    say(str(model_summary(name)), end="")


@models_app.command()
def adopt(
    name: Annotated[str, Argument(help="Name of a model, see list, or a file.")],
    why: Annotated[str, Option(help="Why it is adopted; kept in the history of models.")] = "",
) -> None:
    """Take a model into use; the one before stays, and rollback returns to it.

    A file is copied into your library first.
    """
    library = Library()
    model = library.add(name) if Path(name).suffix in SUFFIXES else library.find(name)
    library.adopt(model, why)
    say(f"{model.name} is the {model.kind} in use.")


@models_app.command()
def rollback(kind: Annotated[str, Option(help="classifier or detector.")] = "classifier") -> None:
    """Return to the model that was in use before."""
    say(f"{Library().roll_back(kind).name} is the {kind} in use again.")


@models_app.command()
def history() -> None:
    """List what came into use, and why."""
    table = Table("when", "kind", "id", "why")
    for kind in KINDS:
        for adoption in Library().history(kind):
            row = (adoption.when, kind, adoption.model_id, adoption.why)
            table.add_row(*map(shown, row))
    print_table(table)


@models_app.command()
def export(name: Name, out: Annotated[Path, Option(help="File to write (.wbcmodel).")]) -> None:
    """Write a model with its card as one file."""
    say(f"{name} written to {export_model(Library().find(name).path, out)}")


@models_app.command("import")
def import_model(file: Annotated[Path, Argument(help="A .wbcmodel or .safetensors file.")]) -> None:
    """Copy a model into your library."""
    library = Library()
    model = library.add(file)
    say(f"{model.name} is in {library.folder}; use it: --weights {shlex.quote(model.name)}")


@models_app.command()
def remove(
    name: Name,
    force: Annotated[
        bool, Option("--force", help="Remove it though other models were trained from it.")
    ] = False,
) -> None:
    """Move a model out of your library, to the folder removed in it."""
    library = Library()
    say(f"Moved to {library.remove(library.find(name), force=force)}")
