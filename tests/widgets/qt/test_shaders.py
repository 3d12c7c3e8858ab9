"""Meshes keep their shaders while only their colours change."""

from __future__ import annotations

import numpy as np
import pytest
from vispy.visuals.mesh import MeshVisual

from napari_wbc.widgets.qt.shaders import keep_shaders

VERTICES = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]])
FACES = np.array([[0, 1, 2]])


@pytest.fixture
def mesh(monkeypatch):
    # What was patched is put back after the test.
    monkeypatch.setattr(MeshVisual, "_build_color_transform", MeshVisual._build_color_transform)
    keep_shaders()
    return MeshVisual()


def function_of(mesh, **colors):
    """The colour function in the shader of a mesh that was given colours."""
    mesh.set_data(VERTICES, FACES, **colors)
    assert mesh._update_data() is not False
    return mesh.shared_program.vert["color_transform"]


def test_new_colors_keep_the_shader(mesh):
    first = function_of(mesh, face_colors=np.array([[1.0, 0, 0, 1]]))
    assert function_of(mesh, face_colors=np.array([[0, 1.0, 0, 1]])) is first
    assert function_of(mesh, color="white") is first


def test_values_still_have_the_limits_of_their_colormap(mesh):
    plain = function_of(mesh, color="white")
    low = function_of(mesh, vertex_values=np.array([0.0, 1, 2]))
    high = function_of(mesh, vertex_values=np.array([0.0, 5, 9]))
    assert len({id(plain), id(low), id(high)}) == 3
    assert function_of(mesh, color="white") is plain


def test_it_is_done_once_and_left_out_where_vispy_has_no_such_method(monkeypatch, mesh):
    before = MeshVisual._build_color_transform
    keep_shaders()
    assert MeshVisual._build_color_transform is before
    monkeypatch.delattr(MeshVisual, "_build_color_transform")
    keep_shaders()
    assert not hasattr(MeshVisual, "_build_color_transform")
