"""Options of whole slides."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

if TYPE_CHECKING:
    from napari_wbc.pipeline.film.analyze import FilmOptions

KEPT = "Interrupted; run the same command again. Tiles of a scanned film that are done stay done."
Region = Annotated[
    Path | None,
    Option(help="GeoJSON of polygons on a scanned film outside which no cell counts."),
]
Where = Annotated[
    str, Option(help="Where cells of a scanned film count: everywhere, or monolayer.")
]
Tiles = Annotated[str, Option(help="Order of the tiles of a scanned film: meander, or random.")]
Seed = Annotated[int, Option(help="Of the random order of tiles.")]
Cells = Annotated[
    int | None,
    Option(
        help="Stop after the tile of a scanned film with which there are so many.",
        show_default="the whole film",
    ),
]
Workers = Annotated[int, Option(help="Processes that work on the tiles of a scanned film.")]


def less_results(paths: list[Path], out: Path, table: str) -> list[Path]:
    """Paths without the results of the last run, which the shell's ``slides/*`` names too."""
    if len(paths) > 1 and (out / table).is_file():
        return [path for path in paths if path.resolve() != out.resolve()]
    return paths


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
