"""Options of whole slides."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

from napari_wbc.errors import WbcError

if TYPE_CHECKING:
    from napari_wbc.pipeline.film.analyze import FilmOptions
    from napari_wbc.pipeline.film.cluster import Cluster

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
Scheduler = Annotated[
    str | None,
    Option(help="dask.distributed scheduler whose workers do the tiles, as tls://host:8786."),
]
TlsCa = Annotated[Path | None, Option(help="Certificate of the cluster's authority (PEM).")]
TlsCert = Annotated[Path | None, Option(help="Certificate of this client (PEM).")]
TlsKey = Annotated[Path | None, Option(help="Key of this client (PEM).")]
AllowPlainTcp = Annotated[
    bool, Option("--allow-plain-tcp", help="Send slides unencrypted to another computer.")
]


def less_results(paths: list[Path], out: Path, table: str) -> list[Path]:
    """Paths without the results of the last run, which the shell's ``slides/*`` names too."""
    if len(paths) > 1 and (out / table).is_file():
        return [path for path in paths if path.resolve() != out.resolve()]
    return paths


def cluster_of(
    scheduler: str | None,
    workers: int,
    tls: tuple[Path | None, Path | None, Path | None],
    *,
    plain_tcp: bool,
) -> Cluster | None:
    """Where the tiles are worked on, if not by this computer.

    Raises
    ------
    WbcError
        If both are asked for, or the connection would not be private.
    """
    from napari_wbc.pipeline.film.cluster import Cluster

    if scheduler is None:
        if plain_tcp or any(tls):
            raise WbcError("--tls-… and --allow-plain-tcp are of a --scheduler; name one.")
        return None
    if workers > 1:
        raise WbcError("Choose --workers of this computer or a --scheduler, not both.")
    return Cluster(scheduler, *tls, plain_tcp=plain_tcp)


def film_options(
    out: Path,
    *,
    where: str,
    region: Path | None,
    tiles: str,
    seed: int,
    cells: int | None,
    workers: int,
    cluster: Cluster | None = None,
) -> FilmOptions:
    """Where and how scanned films are looked at, and a folder for what is done of them."""
    from napari_wbc.pipeline.film.analyze import FilmOptions
    from napari_wbc.storage.area import read_regions

    regions = {} if region is None else read_regions(region)
    return FilmOptions(
        order=tiles,  # type: ignore[arg-type]
        seed=seed,
        most=cells,
        where=where,  # type: ignore[arg-type]
        regions=regions,
        workers=workers,
        keep=out / ".tiles",
        cluster=cluster,
    )
