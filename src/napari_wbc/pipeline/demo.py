"""The main job on what is at hand: real fields where there are any, else a drawn smear."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2

from napari_wbc.files.atomic import write_bytes
from napari_wbc.imaging.synthetic import synthetic_slide
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.model.slide import FieldOfView, Slide
from napari_wbc.pipeline.samples import bccd_test_fields

__all__ = ["DemoSlide", "demo_slide_steps"]


@dataclass(frozen=True, slots=True)
class DemoSlide:
    """A slide to try things on, and what it is."""

    slide: Slide
    origin: str
    leukocytes: int | None = None
    """How many there are, where that is known."""


def demo_slide_steps(out: Path, *, n_fields: int = 40, seed: int = 0) -> Steps[DemoSlide]:
    """Find real fields, or draw a smear into ``out``.

    Parameters
    ----------
    out : Path
        Folder for a drawn smear.
    n_fields, seed : int
        Of a drawn smear.
    """
    real = bccd_test_fields()
    if real:
        yield Progress("finding real fields", len(real), len(real))
        fields = tuple(FieldOfView(f"BCCD/{path.name}", path) for path in real)
        return DemoSlide(Slide("BCCD", fields), f"{len(real)} real fields (BCCD, test split)")
    fields, leukocytes = (), 0
    for done, field in enumerate(synthetic_slide(seed, n_fields), start=1):
        path = out / "synthetic-smear" / f"field-{done:03d}.png"
        write_bytes(path, cv2.imencode(".png", field.image[..., ::-1])[1].tobytes())
        fields += (FieldOfView(f"synthetic-smear/{path.name}", path),)
        leukocytes += len(field.cells)
        yield Progress("drawing a synthetic smear", done, n_fields)
    origin = f"{n_fields} fields drawn by napari-wbc (no real images at hand)"
    return DemoSlide(Slide("synthetic-smear", fields), origin, leukocytes)
