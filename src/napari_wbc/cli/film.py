"""Options of whole slides."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

if TYPE_CHECKING:
    from napari_wbc.pipeline.film.analyze import FilmOptions

KEPT = "Interrupted; run the same command again to go on with the next tile of a scanned film."
PANEL = "Scanned films"
Region = Annotated[
    Path | None,
    Option(help="GeoJSON of polygons outside which no cell counts.", rich_help_panel=PANEL),
]
Where = Annotated[
    str, Option(help="Where cells count: everywhere, or monolayer.", rich_help_panel=PANEL)
]
Tiles = Annotated[str, Option(help="Order of tiles: meander, or random.", rich_help_panel=PANEL)]
Seed = Annotated[int, Option(help="Of the random order.", rich_help_panel=PANEL)]
Cells = Annotated[
    int | None,
    Option(
        help="Stop after the tile with which there are so many.",
        show_default="the whole film",
        rich_help_panel=PANEL,
    ),
]
Workers = Annotated[int, Option(help="Processes that work on tiles.", rich_help_panel=PANEL)]


def film_options(
    out: Path,
    *,
    where: str,
    region: Path | None,
    tiles: str,
    seed: int,
    cells: int | None,
    workers: int,
) -> FilmOptions:
    """Where and how scanned films are looked at, and a folder for what is done of them."""
    from napari_wbc.pipeline.film.analyze import FilmOptions
    from napari_wbc.storage.area import read_area

    return FilmOptions(
        order=tiles,  # type: ignore[arg-type]
        seed=seed,
        most=cells,
        where=where,  # type: ignore[arg-type]
        area=None if region is None else read_area(region),
        workers=workers,
        keep=out / ".tiles",
    )
