"""Draw a slide, locate and classify its cells, and print the differential.

    python examples/analyze_a_smear.py

Needs no data and no network: the slide is drawn.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from PIL import Image

import napari_wbc
from napari_wbc.imaging.synthetic import synthetic_slide


def draw_slide(folder: Path) -> Path:
    """Write a slide of two drawn fields."""
    slide = folder / "drawn-slide"
    slide.mkdir()
    for number, field in enumerate(synthetic_slide(1, 2, per_field=(3, 5)), start=1):
        Image.fromarray(field.image).save(slide / f"field-{number}.png")
    return slide


def main() -> None:
    """Analyze a drawn slide and print what was found."""
    with tempfile.TemporaryDirectory() as folder:
        # A folder is one slide and its images are the fields.
        analysis = napari_wbc.analyze(draw_slide(Path(folder)), device="cpu")
    columns = ["fov", "label", "prediction", "confidence", "unlikeness"]
    print(analysis.cells[columns].to_string(index=False))
    print(analysis.differential.to_string(index=False))
    # A file that cannot be read does not stop the analysis. Always look at this list.
    for failure in analysis.failures:
        print(f"not analyzed: {failure.path}: {failure.message}")


if __name__ == "__main__":
    main()
