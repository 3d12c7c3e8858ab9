"""Many slides, one after the other: each into a folder of its own, and all in one table.

Invariant: a slide is done when its ``done.json``, its tables and its project are there; the project
comes last. A slide that is done is not done again, and one that fails keeps no other from being
done.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import shapely

from napari_wbc.detect.finders import DEFAULT, located_by
from napari_wbc.errors import WbcError
from napari_wbc.files.atomic import make_folder, short_name, write_text
from napari_wbc.files.guard import read_json
from napari_wbc.imaging.pyramid.opening import fingerprint
from napari_wbc.imaging.read import find_slides
from napari_wbc.model.differential import leukocytes
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.model.slide import Slide
from napari_wbc.model.taxonomy import EIGHT_CLASSES
from napari_wbc.pipeline.analysis import Analysis, SlideAnalysis, left_out_steps
from napari_wbc.pipeline.analyze import analyze_slide_steps, crew_steps, lasting_ids
from napari_wbc.pipeline.film.analyze import FilmOptions
from napari_wbc.pipeline.film.crew import Crew
from napari_wbc.pipeline.film.kept import forget, key_of
from napari_wbc.pipeline.film.tasks import Models
from napari_wbc.pipeline.project import save_project
from napari_wbc.pipeline.report import write_results
from napari_wbc.storage.tables import write_csv
from napari_wbc.weights.card import taxonomy_of
from napari_wbc.weights.registry import DEFAULT_CLASSIFIER

State = Literal["waiting", "done", "incomplete", "failed"]
_DONE = "done.json"


@dataclass(frozen=True, slots=True)
class SlideState:
    """A row of the table of slides.

    Parameters
    ----------
    slide : str
    state : str
        ``waiting``; ``done``; ``incomplete``: some of it could not be read, the next run tries that
        again; ``failed``: none of it.
    cells, leukocytes, candidates : int
    flags : str
        What to look at first.
    message : str
        What is wrong.
    project : str
        The file to open for review; empty if there is none.
    """

    slide: str
    state: State = "waiting"
    cells: int = 0
    leukocytes: int = 0
    candidates: int = 0
    flags: str = ""
    message: str = ""
    project: str = ""


@dataclass(frozen=True, slots=True)
class Batch:
    """What became of all slides."""

    slides: tuple[SlideState, ...]

    @property
    def frame(self) -> pd.DataFrame:
        """One row a slide, the columns of ``slides.csv``."""
        return pd.DataFrame([asdict(slide) for slide in self.slides])

    @property
    def unfinished(self) -> int:
        """Slides that are not done."""
        return sum(slide.state != "done" for slide in self.slides)


def batch_steps(
    paths: Sequence[str | Path],
    out: Path,
    detector: str = DEFAULT,
    preset: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    *,
    weights: str | Path = DEFAULT_CLASSIFIER,
    device: str = "auto",
    threshold: float | None = None,
    film: FilmOptions | None = None,
) -> Steps[Batch]:
    """Analyze many slides; the models are loaded once, the table is written after each slide.

    Parameters
    ----------
    paths, detector, preset, parameters, weights, device, threshold
        As in :func:`~napari_wbc.pipeline.analyze.analyze`.
    out : Path
        Folder for ``slides.csv`` and a folder a slide, with its results and its project.
    film : FilmOptions, optional
        Where and how whole slides are looked at, and by how many processes.

    Raises
    ------
    WbcError
        If a path is missing, two slides have one name, a model cannot be loaded, or the table
        cannot be written.
    """
    slides = find_slides(paths)
    make_folder(out)
    yield from left_out_steps(slides)
    film = film or FilmOptions()
    yield from film.unused_steps(slides)
    models = Models(detector, preset, parameters, weights, device, threshold)
    crew = yield from crew_steps(len(slides), models, film)
    states = {slide.name: SlideState(slide.name) for slide in slides}
    _write(out, states)
    with crew:
        for number, slide in enumerate(slides, start=1):
            work = _SlideWork(slide, out / short_name(slide.name), crew, film)
            for progress in _led(work.steps(), states, slide.name):
                step = f"slide {number} of {len(slides)}, {progress.step}"
                yield replace(progress, step=step)
            _write(out, states)
            if states[slide.name].message:
                note = f"{slide.name}: {states[slide.name].message}"
                yield Progress("slides", number, len(slides), note)
    return Batch(tuple(states.values()))


def _led(steps: Steps[SlideState], states: dict[str, SlideState], name: str) -> Steps[None]:
    """The steps of one slide, which ends in a state whatever happens."""
    try:
        states[name] = yield from steps
    # A slide that cannot be worked on keeps no other from it.
    except WbcError as error:
        states[name] = SlideState(name, "failed", message=str(error))


def _write(out: Path, states: Mapping[str, SlideState]) -> None:
    write_csv(out / "slides.csv", Batch(tuple(states.values())).frame)


@dataclass(frozen=True)
class _SlideWork:
    """One slide of a batch."""

    slide: Slide
    folder: Path
    crew: Crew
    film: FilmOptions

    def steps(self) -> Steps[SlideState]:
        """Analyze it and write its results, or take up what is done."""
        key = self._key()
        done = self._state(key)
        if done is not None:
            yield Progress(f"{self.slide.name}: done before", 1, 1)
            return done
        project = self.folder / f"{self.slide.name}.wbc"
        if project.exists():
            raise WbcError(
                f"{project}: this project of an earlier run is there already, and slide, models or "
                "settings are others now; choose another folder, or move it away."
            )
        film = replace(self.film, keep=self.folder / ".tiles")
        crew = self.crew
        classifier = crew.classifier
        taxonomy = taxonomy_of(classifier.card) if classifier else EIGHT_CLASSES
        analyzed = yield from analyze_slide_steps(
            self.slide,
            crew.finder,
            classifier,
            taxonomy=taxonomy,
            film=film,
            crew=crew,
        )
        state = _state_of(analyzed, analyzed.failures)
        # Tables full of zeros would look like those of a slide without cells.
        if state.state == "failed":
            return state
        analyzed = replace(analyzed, table=lasting_ids(analyzed, Counter()))
        analysis = Analysis((analyzed,))
        if classifier:
            card = classifier.card
            analysis = Analysis((analyzed,), card.model_id, classifier.threshold)
        written = yield from write_results(analysis, self.folder)
        state = _state_of(analyzed, [*analyzed.failures, *written.failures])
        # Only of a slide that is done: the next run would have to replace it, reviewed or not.
        if state.state == "done":
            state = replace(state, project=str(project))
            note = json.dumps({"key": key, **asdict(state)}, ensure_ascii=False, indent=2)
            write_text(self.folder / _DONE, f"{note}\n")
            save_project(analysis, project)
            forget(film.keep)
        return state

    def _key(self) -> str:
        """What the results depend on."""
        marks = [fingerprint(field.path) for field in self.slide.fields]
        by = located_by(self.crew.finder)
        model: list[Any] = []
        if self.crew.classifier:
            card = self.crew.classifier.card
            model = [card.sha256, card.model_id, self.crew.classifier.threshold]
        film = self.film
        area = None if film.area is None else shapely.to_wkb(film.area, hex=True)
        where: list[Any] = [film.side, film.order, film.seed, film.most, film.where, area]
        where += [[name, shapely.to_wkb(one, hex=True)] for name, one in film.regions.items()]
        return key_of("slide", marks, by.detector, by.parameters, model, where)

    def _state(self, key: str) -> SlideState | None:
        """The state that was written when the slide was done so; None if it was not."""
        path = self.folder / _DONE
        if not (path.is_file() and (self.folder / "cells.csv").is_file()):
            return None
        try:
            said = dict(read_json(path))
            same = said.pop("key") == key
            state = SlideState(**said)
            return state if same and Path(state.project).is_file() else None
        # Whatever another program wrote there, the slide is worked on.
        except (WbcError, KeyError, TypeError, ValueError):
            return None


def _state_of(analyzed: SlideAnalysis, failures: Sequence[Any]) -> SlideState:
    cells = analyzed.table
    messages = [failure.message for failure in failures]
    candidates = sum(cell.candidate for cell in cells.values())
    flags = ["stain alarm"] if analyzed.stain_alarm else []
    if not len(cells) and not messages:
        flags.append("no cells")
    if analyzed.looked_at:
        flags.append("part of the film")
    if analyzed.disagreements:
        flags.append("cell finders disagree")
    state: State = "done"
    if messages:
        some = len(cells) > 0 or len(messages) < len(analyzed.slide.fields)
        state = "incomplete" if some else "failed"
    return SlideState(
        analyzed.slide.name,
        state,
        len(cells),
        leukocytes(cells.label_counts, analyzed.taxonomy),
        candidates,
        ", ".join(flags),
        " ".join(messages),
    )
