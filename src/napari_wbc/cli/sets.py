"""``napari-wbc set``: reviewed projects as training sets, and training sets as projects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from typer import Argument, Option

from napari_wbc.cli.options import Quiet
from napari_wbc.cli.progress import SOME_FILES_FAILED, drive, note, print_table, say, shown
from napari_wbc.errors import WbcError
from napari_wbc.model.failure import Failure
from napari_wbc.model.words import counted

set_app = typer.Typer(help="Export and import training sets.", no_args_is_help=True)

SetPath = Annotated[Path, Argument(help="Folder, file or .zip of a training set.")]
Format = Annotated[
    str,
    Option(
        "--format",
        help="wbc, coco, coco-rle, voc, yolo, geojson, csv or image-folder; labelme and "
        "label-studio are only read.",
        show_default=False,
    ),
]
Taxonomy = Annotated[
    str | None,
    Option(
        help="Classes of a new project: two, four, five, eight or a YAML file.",
        show_default="eight",
    ),
]


@set_app.command("export")
def export_set(
    projects: Annotated[list[Path], Argument(help="Project files (.wbc).")],
    *,
    out: Annotated[Path, Option(help="Folder of the set; gets round-1, round-2 …")],
    written_as: Format = "wbc",
    slide: Annotated[list[str] | None, Option(help="Only this slide; may be repeated.")] = None,
    split: Annotated[
        str,
        Option(
            help="by-slide (the first slide is train, others by their name), train, val or test."
        ),
    ] = "by-slide",
    reading: Annotated[str, Option(help="A blind reading, or consensus.")] = "",
    unreviewed: Annotated[
        bool, Option("--unreviewed", help="Also cells that only the model labelled.")
    ] = False,
    keep_metadata: Annotated[
        bool,
        Option(
            "--keep-metadata",
            help="Keep Exif and comments of images, where patients may be named, and annotators.",
        ),
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Write the reviewed cells of projects as the next round of a training set.

    Fields of earlier rounds stay in; a slide keeps its split until `set move` gives it another.
    """
    from napari_wbc.pipeline.training_sets import export_set_steps

    steps = export_set_steps(
        projects,
        out,
        written_as=written_as,
        reading=reading,
        slides=slide or (),
        split=split,
        reviewed=not unreviewed,
        keep_metadata=keep_metadata,
    )
    exported = drive(steps, quiet=quiet)
    if not quiet:
        print_table(_counts(exported.cells))
        for line in exported.left_out:
            say(f"left out: {line}")
        say(
            f"Since the last round: {counted(exported.added)} new, "
            f"{exported.relabelled} relabelled, {exported.removed} removed"
        )
    written = f"{counted(sum(exported.cells.values()))} of {counted(exported.fields, 'field')}"
    say(f"{written} written to {exported.folder}")
    _end(exported.failures)


@set_app.command("show")
def show(path: SetPath, *, written_as: Format = "", taxonomy: Taxonomy = None) -> None:
    """Show what a training set holds, and which class each label would become."""
    from napari_wbc.pipeline.import_set import look_steps
    from napari_wbc.storage.formats.taxonomy import read_taxonomy

    steps = look_steps(path, taxonomy=read_taxonomy(taxonomy or "eight"), written_as=written_as)
    incoming = drive(steps, quiet=True)
    content = incoming.content
    table = Table(
        "label", "cells", "would become", title=shown(f"{content.name} ({content.format})")
    )
    for label, n in incoming.counts.items():
        name = incoming.suggested[label]
        table.add_row(shown(label), str(n), "say which: --map" if name is None else shown(name))
    print_table(table)
    say(f"{counted(incoming.counts.total())} of {counted(len(content.fields), 'field')}")


@set_app.command("import")
def import_set(
    path: SetPath,
    *,
    project: Annotated[Path, Option(help="Project file (.wbc), new or not.")],
    mapped: Annotated[
        list[str] | None,
        Option("--map", help="LABEL=CLASS, or LABEL= to leave it out; may be repeated."),
    ] = None,
    written_as: Format = "",
    taxonomy: Taxonomy = None,
    quiet: Quiet = False,
) -> None:
    """Import a training set into a project.

    Look at it with `set show` first: unclear labels need --map.
    """
    from napari_wbc.pipeline.import_set import import_set_steps
    from napari_wbc.storage.formats.taxonomy import read_taxonomy

    mapping: dict[str, str] = {}
    # LABEL= has an empty class, which leaves those cells out.
    for text in mapped or ():
        label, equals, name = text.partition("=")
        if not equals:
            raise WbcError(f"--map {text}: write LABEL=CLASS, or LABEL= to leave those cells out.")
        mapping[label] = name
    classes = read_taxonomy(taxonomy) if taxonomy else None
    steps = import_set_steps(
        path, project, mapping=mapping, taxonomy=classes, written_as=written_as
    )
    imported = drive(steps, quiet=quiet)
    say(imported.summary)
    _end(imported.failures)


@set_app.command("move")
def move(
    path: Annotated[Path, Argument(metavar="SET", help="Folder of the set.")],
    slide: Annotated[str, Argument(help="Name of the slide.")],
    split: Annotated[str, Argument(help="train, val or test.")],
    *,
    quiet: Quiet = False,
) -> None:
    """Give a slide that no model has used another split, in a new round."""
    from napari_wbc.pipeline.move_slide import move_slide_steps
    from napari_wbc.pipeline.set_summary import set_summary

    written = drive(move_slide_steps(path, slide, split), quiet=quiet)
    say(f"{slide} moved to {split} in {written.folder}; {set_summary(path).line}")


def _counts(cells: dict[tuple[str, str], int]) -> Table:
    """Cells by class and split."""
    rows: dict[str, Counter[str]] = {}
    for (split, label), n in sorted(cells.items()):
        rows.setdefault(label, Counter())[split] = n
    # In the order of a training, which is not that of the alphabet.
    splits = sorted(set().union(*rows.values()), key=("train", "val", "test").index)
    table = Table("class", *splits)
    for label, counts in rows.items():
        table.add_row(shown(label), *(str(counts[split]) for split in splits))
    return table


def _end(failures: Sequence[Failure]) -> None:
    for failure in failures:
        note(failure.message)
    if failures:
        raise typer.Exit(SOME_FILES_FAILED)
