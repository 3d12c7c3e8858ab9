"""A whole slide to located and classified cells, tile by tile."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import shapely

from napari_wbc.detect.film import WindowFinder, gather, parted, preset_of, surest_first
from napari_wbc.detect.film_plan import Block, FilmPlan, Order, plan_steps
from napari_wbc.detect.finders import located_by
from napari_wbc.detect.look import Seen
from napari_wbc.detect.tiled import Tile
from napari_wbc.errors import WbcError
from napari_wbc.imaging.pyramid.base import Pyramid
from napari_wbc.imaging.pyramid.opening import fingerprint, is_whole_slide, open_pyramid
from napari_wbc.imaging.pyramid.zones import zones_steps
from napari_wbc.model.cell import Detection, Prediction
from napari_wbc.model.failure import Failure
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.model.slide import Slide
from napari_wbc.model.words import counted, listed
from napari_wbc.pipeline.film.cluster import Cluster
from napari_wbc.pipeline.film.crew import Crew
from napari_wbc.pipeline.film.kept import Kept, key_of
from napari_wbc.pipeline.film.ordered import in_order_steps, named
from napari_wbc.pipeline.film.regions import MONOLAYER, inside, with_drawn, zone_areas
from napari_wbc.pipeline.film.tasks import Classify, Locate, checked_finder

Where: TypeAlias = Literal["everywhere", "monolayer"]
OnCells: TypeAlias = Callable[[Sequence[tuple[Detection, "Prediction | None"]]], object]
"""Gets cells that no tile to come can change, as they are found; each once."""
PLACES: tuple[Where, ...] = ("everywhere", "monolayer")
"""Where cells of a film count."""


@dataclass(frozen=True)
class FilmOptions:
    """Where and how a whole slide is looked at.

    Parameters
    ----------
    side : int
        Of a tile in pixels of the slide; the cells do not depend on it.
    order : {'meander', 'random'}
        Of the tiles: as a person counts, or a random sample.
    seed : int
        Of the random order.
    most : int, optional
        Cells after which no more tiles are looked at; None looks at all.
    where : {'everywhere', 'monolayer'}
        Whether only the monolayer counts, which a coarse pass finds.
    area : shapely.Geometry, optional
        Region in (x, y) pixels of the slide outside which no cell counts.
    zones : mapping of str to shapely.Geometry
        Monolayer, thin and thick part by name, as a person corrected them; a coarse pass finds them
        where they are not given.
    regions : mapping of str to shapely.Geometry
        Drawn regions by name, each counted by itself; together they are the area if none is given.
    workers : int
        Processes that work on tiles.
    cluster : Cluster, optional
        Works on tiles in place of processes of this computer.
    keep : Path, optional
        Folder where the results of tiles are kept until all is done, so that a run that was ended
        goes on.
    """

    side: int = 2048
    order: Order = "meander"
    seed: int = 0
    most: int | None = None
    where: Where = "everywhere"
    area: shapely.Geometry | None = field(default=None, compare=False)
    zones: Mapping[str, shapely.Geometry] = field(default_factory=dict, compare=False)
    regions: Mapping[str, shapely.Geometry] = field(default_factory=dict, compare=False)
    workers: int = 1
    keep: Path | None = None
    cluster: Cluster | None = None

    def __post_init__(self) -> None:
        if self.regions and self.area is None:
            object.__setattr__(self, "area", shapely.union_all(list(self.regions.values())))
        if self.where not in PLACES:
            raise WbcError(f"No place {self.where!r} of a film; choose {' or '.join(PLACES)}.")
        if self.workers < 1 or self.seed < 0 or (self.most is not None and self.most < 1):
            raise WbcError(
                "Workers and cells are 1 or more, and a seed is 0 or more; choose other numbers."
            )

    def unused_steps(self, slides: Sequence[Slide]) -> Steps[None]:
        """Tell, where none of the slides is a scanned film, that a choice counts for none."""
        chosen = self.area is not None or self.most is not None
        if not chosen and (self.where, self.order) == ("everywhere", "meander"):
            return
        paths = [field.path for slide in slides for field in slide.fields]
        if not any(map(is_whole_slide, paths)):
            note = "Region, place, tiles and cells are of scanned films; none of these is one."
            yield Progress("slides", 0, len(slides), note)


@dataclass(frozen=True, slots=True)
class FilmCells:
    """What was found on a whole slide."""

    cells: tuple[tuple[Detection, Prediction | None], ...]
    failures: tuple[Failure, ...]
    """Of the slide, if tiles could not be worked on; all others were."""
    note: str
    """What to tell of the run."""
    looked_at: str = ""
    """The part of the film that was looked at, in words; empty if it was the whole."""
    regions: Mapping[str, shapely.Geometry] = field(default_factory=dict)
    """Parts of the film by name, of which each is counted by itself."""


def analyze_film_steps(
    path: Path,
    name: str,
    crew: Crew,
    options: FilmOptions,
    *,
    on_cells: OnCells | None = None,
) -> Steps[FilmCells]:
    """Locate and classify the cells of a whole slide.

    Parameters
    ----------
    name : str
        Of the slide, for the progress.
    crew : Crew
        Whoever works on the tiles; without a classifier the cells are located only.
    on_cells : callable, optional
        Gets cells while tiles are worked on; of a crew without worker processes. What it got is
        part of the result.

    Raises
    ------
    ReadError
        If the slide cannot be opened.
    WbcError
        If the cell finder is not for whole slides, or the slide shows no red cells and does not
        tell its pixel size, or results cannot be kept.
    """
    finder = checked_finder(crew.finder)
    with open_pyramid(path) as pyramid:
        preset = preset_of(finder)
        plan = yield from plan_steps(pyramid, preset)
        parts: list[str] = []
        zones = options.zones
        if not zones:
            zones = yield from _zones_steps(pyramid, preset.red_cell / plan.scale, options.where)
        if options.area is not None:
            parts.append(f"a drawn region ({_share(options.area, pyramid):.0f} % of the film)")
        if options.where == "monolayer":
            area = zones.get(MONOLAYER, shapely.Polygon())
            share = _share_of_zones(zones)
            if options.area is not None:
                area = shapely.intersection(area, options.area)
            options = replace(options, area=area)
            parts.append(f"the monolayer ({share:.0f} % of the film)")
    film = _Film(path, name, finder, crew, options, plan, fingerprint(path), on_cells)
    blocks = plan.blocks(options.side, area=options.area, order=options.order, seed=options.seed)
    looked = yield from film.locate_steps(blocks)
    located = yield from film.classify_steps(blocks[: looked.tiles], film.cells(looked.results))
    # A tile that cannot be read fails in both, for one reason.
    errors = list(dict.fromkeys([*looked.errors, *located.errors]))
    if looked.tiles < len(blocks):
        tiles = counted(len(blocks), "tile")
        order = f"in random order, seed {options.seed}" if options.order == "random" else "in order"
        parts.append(f"{looked.tiles} of {tiles}, {order}")
    looked_at = f"Only a part of the film was looked at: {'; '.join(parts)}." if parts else ""
    notes = [f"{name}: {note}" for note in (looked_at, plan.note) if note]
    failures: tuple[Failure, ...] = ()
    if errors:
        tiles = counted(len(errors), "tile")
        message = f"{path}: {tiles} could not be worked on, all others were: {listed(errors)}."
        failures = (Failure(path, message),)
        notes.append(message)
    regions = with_drawn(zones, options.regions)
    return FilmCells(tuple(located.results), failures, " ".join(notes), looked_at, regions)


def _zones_steps(
    pyramid: Pyramid, red_cell: float, where: Where
) -> Steps[Mapping[str, shapely.Geometry]]:
    """The zones of a film; none where it shows too little, or is damaged, and can do without."""
    try:
        return zone_areas((yield from zones_steps(pyramid, red_cell)))
    # What of it can be read is worked on all the same; the tiles tell what cannot.
    except WbcError:
        if where == "monolayer":
            raise
        return {}


def _share_of_zones(zones: Mapping[str, shapely.Geometry]) -> float:
    """Percent of a film without its glass that is monolayer."""
    film = sum(map(shapely.area, zones.values()))
    monolayer = shapely.area(zones.get(MONOLAYER, shapely.Polygon()))
    return float(100 * monolayer / film) if film else 0.0


def _share(area: shapely.Geometry, pyramid: Pyramid) -> float:
    """Percent of a film that an area covers."""
    size = pyramid.levels[0]
    film = shapely.box(0, 0, size.width, size.height)
    return float(100 * shapely.intersection(area, film).area / film.area)


@dataclass
class _Done:
    """Results of tiles in their order, and what was wrong with those that failed."""

    results: list[Any]
    errors: list[str]
    tiles: int = 0


@dataclass(frozen=True)
class _Film:
    """One slide under work."""

    path: Path
    name: str
    finder: WindowFinder
    crew: Crew
    options: FilmOptions
    plan: FilmPlan
    mark: str
    on_cells: OnCells | None = None
    predicted: dict[Detection, Prediction | None] = field(default_factory=dict)
    """Cells that were handed over before all tiles were looked at."""

    def locate_steps(self, blocks: Sequence[Block]) -> Steps[_Done]:
        """What the tiles show, up to the one with which there are cells enough."""
        kept = Kept(self.options.keep)
        by = located_by(self.crew.finder)
        keys = {
            _place(block): key_of("locate", self.mark, by.detector, by.parameters, *self._at(block))
            for block in blocks
        }
        tasks = {_place(block): Locate(self.path, self.plan, block) for block in blocks}
        done = _Done([], [])
        waiting = Seen.joined([])
        steps = in_order_steps(
            self.crew,
            f"{self.name}: locating",
            [tasks[_place(block)] for block in blocks],
            lambda task: kept.seen(keys[_place(task.block)]),
            lambda task, seen: kept.keep_seen(keys[_place(task.block)], seen),
        )
        for outcome in steps:
            if isinstance(outcome, Progress):
                yield outcome
                continue
            done.tiles += 1
            if outcome.error:
                done.errors.append(named(outcome))
            else:
                done.results.append(outcome.result)
                waiting = Seen.joined([waiting, outcome.result])
            if self.on_cells is not None:
                waiting = yield from self._hand_over_steps(blocks, done.tiles, waiting)
            if self._is_enough(done.results):
                break
        return done

    def _hand_over_steps(self, blocks: Sequence[Block], done: int, waiting: Seen) -> Steps[Seen]:
        """Hand over the cells that no tile to come can change; what is seen of all others."""
        assert self.on_cells is not None
        unseen = shapely.union_all([_shown(block) for block in blocks[done:]])
        settled, waiting = parted(waiting, unseen)
        cells = self.cells([settled])
        if cells:
            progress = Progress(f"{self.name}: locating", done, len(blocks))
            located = yield from _shown_as(progress, self.classify_steps(blocks[:done], cells))
            # A cell that could not be classified now is tried again with all others.
            done_now = [pair for pair in located.results if pair[1] or not self.crew.classifier]
            self.predicted.update(done_now)
            self.on_cells(done_now)
        return waiting

    def cells(self, seen: Sequence[Seen]) -> tuple[Detection, ...]:
        """Cells and candidates of the tiles, each once, in the region that was drawn."""
        cells = gather(self.finder, seen, self.plan.shape).cells
        area = self.options.area
        if area is None or not cells:
            return cells
        within = inside(cells, area)
        return tuple(cell for cell, one in zip(cells, within, strict=True) if one)

    def _is_enough(self, seen: Sequence[Seen]) -> bool:
        most = self.options.most
        # Cells are put together only when there may be enough of them.
        if most is None or sum(len(one.look.boxes) + len(one.coloured) for one in seen) < most:
            return False
        return sum(not cell.candidate for cell in self.cells(seen)) >= most

    def classify_steps(self, blocks: Sequence[Block], cells: Sequence[Detection]) -> Steps[_Done]:
        """Cells with their predictions; without, where there is no classifier or a tile failed."""
        classifier = self.crew.classifier
        if classifier is None:
            return _Done([(cell, None) for cell in cells], [])
        before = [(cell, self.predicted[cell]) for cell in cells if cell in self.predicted]
        cells = [cell for cell in cells if cell not in self.predicted]
        kept = Kept(self.options.keep)
        card = classifier.card
        tasks: list[Classify] = []
        numbers: dict[tuple[int, int], list[int]] = {}
        keys: dict[tuple[int, int], str] = {}
        for block, by_window in _by_window(blocks, self.plan, cells):
            boxes = tuple(
                (window, tuple(cells[i].bbox for i in places)) for window, places in by_window
            )
            tasks.append(Classify(self.path, self.plan, block, boxes))
            numbers[_place(block)] = [i for _, places in by_window for i in places]
            edges = [[box.edges for box in group] for _, group in boxes]
            model = card.sha256, card.model_id, classifier.threshold
            keys[_place(block)] = key_of("classify", self.mark, model, edges, *self._at(block))
        predictions: list[Prediction | None] = [None] * len(cells)
        errors: list[str] = []
        steps = in_order_steps(
            self.crew,
            f"{self.name}: classifying",
            tasks,
            lambda task: kept.predictions(
                keys[_place(task.block)], classifier, len(numbers[_place(task.block)])
            ),
            lambda task, result: kept.keep_predictions(keys[_place(task.block)], result),
        )
        for outcome in steps:
            if isinstance(outcome, Progress):
                yield outcome
            elif outcome.error:
                errors.append(named(outcome))
            else:
                places = numbers[_place(outcome.task.block)]
                for i, prediction in zip(places, outcome.result, strict=True):
                    predictions[i] = prediction
        located = dict([*before, *zip(cells, predictions, strict=True)])
        return _Done([(cell, located[cell]) for cell in surest_first(located)], errors)

    def _at(self, block: Block) -> tuple[Any, ...]:
        """What the result of a tile depends on beside slide and models."""
        windows = [
            [window.top, window.left, window.bottom, window.right] for window in block.windows
        ]
        return repr(self.plan.scale), self.plan.window, windows


def _shown_as(progress: Progress, steps: Steps[_Done]) -> Steps[_Done]:
    """Steps with the progress of those between which they are made."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            done: _Done = end.value
            return done
        yield progress


def _shown(block: Block) -> shapely.Geometry:
    """What a tile shows with its halo, in (x, y)."""
    region = block.region
    return shapely.box(region.left, region.top, region.right, region.bottom)


def _place(block: Block) -> tuple[int, int]:
    return block.row, block.col


def _by_window(
    blocks: Iterable[Block], plan: FilmPlan, cells: Sequence[Detection]
) -> Iterator[tuple[Block, list[tuple[Tile, list[int]]]]]:
    """Tiles that hold cells, and the numbers of the cells by the window whose middle is nearest."""
    from scipy.spatial import KDTree

    places = [(block, window) for block in blocks for window in block.windows]
    if not cells or not places:
        return
    middles = np.array([_middle(plan.source(window)) for _, window in places])
    centers = np.array([cell.bbox.center for cell in cells])
    nearest = np.asarray(KDTree(middles).query(centers)[1])
    by_place: dict[int, list[int]] = {}
    for i, place in enumerate(nearest.tolist()):
        by_place.setdefault(place, []).append(i)
    by_block: dict[tuple[int, int], list[tuple[Tile, list[int]]]] = {}
    for place in sorted(by_place):
        block, window = places[place]
        by_block.setdefault(_place(block), []).append((window, by_place[place]))
    for block in dict.fromkeys(block for block, _ in places):
        if _place(block) in by_block:
            yield block, by_block[_place(block)]


def _middle(part: Tile) -> tuple[float, float]:
    return (part.top + part.bottom) / 2, (part.left + part.right) / 2
