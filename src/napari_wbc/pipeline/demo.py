"""The main job on what is at hand: real fields if there are any, else a drawn smear."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from napari_wbc.imaging.synthetic import synthetic_slide
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.model.slide import FieldOfView, Slide
from napari_wbc.model.words import counted
from napari_wbc.pipeline.analysis import Analysis, analysis_of
from napari_wbc.pipeline.analyze import analyze_fields_steps
from napari_wbc.pipeline.report import write_png
from napari_wbc.pipeline.samples import bccd_test_fields

N_FIELDS = 40
"""Fields of a drawn smear."""


@dataclass(frozen=True, slots=True)
class Demo:
    """A slide to try things on, analyzed, and where it comes from."""

    analysis: Analysis
    origin: str
    leukocytes: int | None = None
    """How many there are; None for real fields, whose truth is not read."""


def demo_steps(out: Path, *, device: str = "auto") -> Steps[Demo]:
    """Analyze real fields, or a smear that is drawn into the folder ``out``, with the defaults."""
    leukocytes = None
    fields: list[FieldOfView] = []
    if real := bccd_test_fields():
        name = "BCCD"
        origin = f"{counted(len(real), 'real field')} (BCCD, test split)"
        fields += [FieldOfView(f"{name}/{path.name}", path) for path in real]
    else:
        name = "synthetic-smear"
        origin = f"{counted(N_FIELDS, 'field')} drawn by napari-wbc (no real images at hand)"
        leukocytes = 0
        # Always the same smear, so that the results of two runs can be compared.
        for done, drawn in enumerate(synthetic_slide(0, N_FIELDS), start=1):
            path = out / name / f"field-{done:03d}.png"
            write_png(path, drawn.image)
            fields.append(FieldOfView(f"{name}/{path.name}", path))
            leukocytes += len(drawn.cells)
            yield Progress("drawing a synthetic smear", done, N_FIELDS)
    result = yield from analyze_fields_steps(Slide(name, tuple(fields)), device=device)
    return Demo(analysis_of([result]), origin, leukocytes)
