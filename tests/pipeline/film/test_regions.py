"""Cells of films by region: each where its middle lies, and the edges of a film told."""

from __future__ import annotations

from dataclasses import replace

import shapely
from tests.pipeline.lab_report.reports import cell, settings, slide

from napari_wbc.model.geometry import BBox
from napari_wbc.model.table import CellTable
from napari_wbc.pipeline.analysis import Analysis
from napari_wbc.pipeline.film.regions import by_region
from napari_wbc.pipeline.lab_report.content import content
from napari_wbc.pipeline.lab_report.page import page
from napari_wbc.pipeline.lab_report.pictures import Pictures
from napari_wbc.pipeline.lab_report.pool import pooled
from napari_wbc.pipeline.report import differential_json

AREAS = {
    "monolayer": shapely.box(0, 0, 100, 100),
    "thin part": shapely.box(200, 0, 300, 100),
    "Mrs <b>Smith</b>": shapely.box(0, 0, 300, 50),
}


def film(folder, middle, edge, **options):
    """A film of so many cells by label in its monolayer and at its edge."""
    one = slide(folder, {}, fields=1, **options)
    (field,) = one.slide.fields
    cells = []
    for left, counts in ((10, middle), (210, edge)):
        for label, n in counts.items():
            for i in range(n):
                found = cell(1000 * left + i, label, field.fov_id)
                box = BBox(10, left, 20, left + 10)
                cells.append(replace(found, detection=replace(found.detection, bbox=box)))
    return replace(one, table=CellTable(cells), regions={field.fov_id: AREAS})


def test_a_cell_is_where_its_middle_lies(tmp_path):
    one = film(tmp_path, {"lymphocyte": 5, "erythroblast": 1}, {"monocyte": 4})
    counts = {region.name: region.counted for region in one.by_region}
    assert [counted.total for counted in counts.values()] == [5, 4, 9]
    assert counts["monolayer"].located == 6
    empty = by_region(CellTable(), one.regions, one.taxonomy)
    assert [region.counted.total for region in empty] == [0, 0, 0]
    (said,) = differential_json(Analysis((one,)))
    first = said["regions"][0]
    assert (first["region"], first["leukocytes"]) == ("monolayer", 5)
    assert first["beside"] == {"erythroblast": 1}
    assert {"class": "lymphocyte", "count": 5, "percent": 100.0} in first["classes"]


def test_large_cells_at_the_edge_are_told(tmp_path):
    def said(middle, edge):
        report = content(film(tmp_path, middle, edge), settings(), "now")
        return [line for line in report.quality if "edges of a film" in line]

    (line,) = said({"lymphocyte": 60, "monocyte": 2}, {"lymphocyte": 20, "monocyte": 20})
    assert "20 monocytes in the rest of the film" in line
    assert not said({"lymphocyte": 60, "monocyte": 6}, {"lymphocyte": 30, "monocyte": 3})
    # Of the monolayer alone nothing can be told.
    assert not said({"lymphocyte": 60, "monocyte": 6}, {})


def test_the_page_has_the_whole_and_its_regions(tmp_path):
    one = film(tmp_path, {"lymphocyte": 15, "erythroblast": 1}, {"monocyte": 5})
    html = page(content(one, settings(), "now"), Pictures())
    assert "By region" in html
    assert "5 (25.0 %)" in html
    assert "5 (100.0 %)" in html
    assert "Mrs &lt;b&gt;Smith" in html
    masked = page(content(one, settings(masked=True), "now"), Pictures())
    assert "Smith" not in masked
    assert "region 3" in masked
    camera = slide(tmp_path, {"lymphocyte": 5}, name="fields")
    assert "By region" not in page(content(camera, settings(), "now"), Pictures())


def test_films_that_are_pooled_are_counted_region_by_region(tmp_path):
    first = film(tmp_path, {"lymphocyte": 5}, {}, name="one")
    second = film(tmp_path, {"neutrophil": 3}, {}, name="two")
    whole, _ = pooled(Analysis((first, second)))
    counts = {region.name: region.counted.total for region in whole.slides[0].by_region}
    assert counts["monolayer"] == 8
