"""``napari-wbc batch``: many slides into one table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from rich.table import Table
from typer import Argument

from napari_wbc.cli.film import (
    KEPT,
    AllowPlainTcp,
    Cells,
    Region,
    Scheduler,
    Seed,
    Tiles,
    TlsCa,
    TlsCert,
    TlsKey,
    Where,
    Workers,
    cluster_of,
    film_options,
    less_results,
)
from napari_wbc.cli.options import (
    DETECTOR,
    Detector,
    Device,
    Out,
    Quiet,
    Weights,
    detector_in_use,
    in_use,
)
from napari_wbc.cli.progress import drive, end, print_table, say, shown
from napari_wbc.files.atomic import make_folder
from napari_wbc.model.words import counted

if TYPE_CHECKING:
    from napari_wbc.pipeline.batch import Batch


def batch(
    slides: Annotated[list[Path], Argument(help="Scanned films, image files, or folders of them.")],
    *,
    out: Out,
    detector: Detector = DETECTOR,
    weights: Weights = None,
    device: Device = "auto",
    where: Where = "everywhere",
    region: Region = None,
    tiles: Tiles = "meander",
    seed: Seed = 0,
    cells: Cells = None,
    workers: Workers = 1,
    scheduler: Scheduler = None,
    tls_ca: TlsCa = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    allow_plain_tcp: AllowPlainTcp = False,
    quiet: Quiet = False,
) -> None:
    """Analyze many slides, each into a folder and a project of its own, and all in slides.csv.

    The same command again goes on: slides that are done are not done again, and those that failed
    are tried again.
    """
    from napari_wbc.pipeline.batch import batch_steps

    tls = (tls_ca, tls_cert, tls_key)
    cluster = cluster_of(scheduler, workers, tls, plain_tcp=allow_plain_tcp)
    make_folder(out)
    film = film_options(
        out,
        where=where,
        region=region,
        tiles=tiles,
        seed=seed,
        cells=cells,
        workers=workers,
        cluster=cluster,
    )
    steps = batch_steps(
        less_results(slides, out, "slides.csv"),
        out,
        detector,
        detector_in_use(detector),
        weights=in_use(weights),
        device=device,
        film=film,
    )
    result = drive(steps, quiet=quiet, interrupted=KEPT)
    if not quiet:
        print_table(_table(result))
        say(f"{counted(len(result.slides), 'slide')} written to {out / 'slides.csv'}")
        say("Open the project of one for review: napari PROJECT.wbc")
    outcome = f"see {out / 'slides.csv'}; run the same command to try again"
    end(result.unfinished, outcome, total=len(result.slides), what="slide")


def _table(result: Batch) -> Table:
    table = Table(caption="Research use only")
    for name in ("slide", "state"):
        table.add_column(name)
    for name in ("cells", "leukocytes", "candidates"):
        table.add_column(name, justify="right")
    table.add_column("flags")
    for row in result.slides:
        numbers = [str(row.cells), str(row.leukocytes), str(row.candidates)]
        # rich takes a slide that is named [b] for markup.
        table.add_row(shown(row.slide), row.state, *numbers, row.flags)
    return table
