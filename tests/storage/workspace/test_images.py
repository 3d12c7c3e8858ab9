"""An image that moved or changed is noticed, and can be pointed to anew."""

from __future__ import annotations

import os

import pytest

from napari_wbc.errors import WbcError
from napari_wbc.model.progress import run
from napari_wbc.model.slide import FieldOfView, Slide
from napari_wbc.model.taxonomy import EIGHT_CLASSES
from napari_wbc.storage.workspace import (
    ImageFault,
    check_images_steps,
    create_workspace,
    pointed_to,
)


@pytest.fixture
def slide(tmp_path):
    (tmp_path / "s").mkdir()
    fields = []
    for i in range(3):
        file = tmp_path / "s" / f"{i}.png"
        file.write_bytes(b"image %d" % i)
        fields.append(FieldOfView(f"s/{i}.png", file))
    return Slide("s", tuple(fields))


@pytest.fixture
def project(tmp_path, slide):
    made = create_workspace(tmp_path / "p.wbc", EIGHT_CLASSES)
    made.put_slide(slide)
    yield made
    made.close()


def test_a_slide_without_fields_has_no_faults(project):
    assert run(check_images_steps(project, Slide("none", ()))) == ()


def test_images_that_stay_have_no_faults(project, slide):
    for _ in range(2):
        assert run(check_images_steps(project, slide)) == ()
    size, _modified, sha256 = project.image_facts("s")["s/1.png"]
    assert (size, len(sha256)) == (7, 64)


def test_an_image_that_was_only_touched_is_the_same(project, slide):
    run(check_images_steps(project, slide))
    os.utime(slide.fields[0].path, (1, 1))
    assert run(check_images_steps(project, slide)) == ()
    assert project.image_facts("s")["s/0.png"][1] == 1_000_000_000


def test_an_image_may_be_a_folder(project, tmp_path):
    """An OME-Zarr is one."""
    image = tmp_path / "film.ome.zarr"
    (image / "0").mkdir(parents=True)
    (image / "zarr.json").write_text("{}")
    chunk = image / "0" / "0.0"
    chunk.write_bytes(b"pixels")
    film = Slide("film", (FieldOfView("film.ome.zarr", image),))
    project.put_slide(film)
    for _ in range(2):
        assert run(check_images_steps(project, film)) == ()
    assert project.image_facts("film")["film.ome.zarr"][0] == 8
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    image.rename(moved / image.name)
    (fault,) = run(check_images_steps(project, film))
    assert fault.what == "missing"
    film = pointed_to(project, film, moved)
    assert run(check_images_steps(project, film)) == ()
    (moved / image.name / "0" / "0.0").write_bytes(b"others")
    (fault,) = run(check_images_steps(project, film))
    assert fault.what == "changed"


def test_missing_and_changed_images_are_noticed(project, slide):
    run(check_images_steps(project, slide))
    slide.fields[0].path.unlink()
    slide.fields[1].path.write_bytes(b"another")
    first, second, _ = slide.fields
    faults = (
        ImageFault(first.fov_id, first.path, "missing"),
        ImageFault(second.fov_id, second.path, "changed"),
    )
    for _ in range(2):
        assert run(check_images_steps(project, slide)) == faults


def test_moved_images_are_pointed_to_anew(project, slide, tmp_path):
    run(check_images_steps(project, slide))
    (tmp_path / "s").rename(tmp_path / "moved")
    assert {fault.what for fault in run(check_images_steps(project, slide))} == {"missing"}
    found = pointed_to(project, slide, tmp_path / "moved")
    assert [field.path.parent.name for field in found.fields] == ["moved"] * 3
    assert run(check_images_steps(project, found)) == ()
    assert project.slides() == (found,)


def test_another_folder_or_another_image_is_refused(project, slide, tmp_path):
    run(check_images_steps(project, slide))
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(WbcError, match="none of the slide's images"):
        pointed_to(project, slide, other)
    (other / "1.png").write_bytes(b"a stranger")
    with pytest.raises(WbcError, match="another image of this name"):
        pointed_to(project, slide, other)
    assert project.slides() == (slide,)
