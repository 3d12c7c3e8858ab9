"""The gallery and the map in docks of their own."""

from __future__ import annotations

from napari_wbc.widgets.docks import GALLERY


def test_gallery_whose_dock_was_closed_opens_again(bench, slide, wait, qtbot):
    bench.open_slide(slide)
    wait(bench)
    bench.docks.open_gallery()
    first = bench.docks.gallery
    bench.docks._docks[GALLERY].destroyOnClose()
    qtbot.waitUntil(lambda: bench.docks.gallery is None)
    bench.review.gallery.click()
    assert bench.docks.gallery is not None
    assert bench.docks.gallery is not first
    assert bench.status.text() == "slide: 3 fields"
