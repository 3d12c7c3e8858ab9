from __future__ import annotations

import numpy as np
import pytest
from tests.widgets.gallery.pictures import FIELD

from napari_wbc.model.slide import Slide
from napari_wbc.session.heats import Heats
from napari_wbc.session.session import Session
from napari_wbc.widgets.gallery.gallery import Gallery
from napari_wbc.widgets.qt.thumbnails import Thumbnails


@pytest.fixture
def session():
    session = Session()
    session.open(Slide("slide", (FIELD,)))
    return session


@pytest.fixture
def gallery(session, qtbot):
    thumbnails = Thumbnails(
        lambda _field: np.full((40, 40, 3), 200, np.uint8), {FIELD.fov_id: FIELD}.get
    )
    heats = Heats(session)
    gallery = Gallery(session, thumbnails, heats)
    qtbot.addWidget(gallery)
    gallery.resize(460, 500)  # four columns
    gallery.show()
    gallery.setFocus()
    yield gallery
    gallery.release()
    heats.close()
    qtbot.waitUntil(lambda: not thumbnails.running)
