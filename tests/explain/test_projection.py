"""Places of cells on a plane: against scikit-learn, deterministic, and endable."""

from __future__ import annotations

import subprocess
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from napari_wbc.errors import WbcError
from napari_wbc.explain import projection
from napari_wbc.explain.projection import project, project_steps
from napari_wbc.model.progress import run


def groups(n=60, f=70, seed=0):
    """Three groups of cells, far apart, and which each is of."""
    rng = np.random.default_rng(seed)
    which = np.arange(n) % 3
    return (rng.normal(0, 1, (n, f)) + 20 * np.eye(3, f)[which]).astype(np.float32), which


@pytest.mark.parametrize("method", ["pca", "t-sne"])
@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 5])
def test_few_cells_have_places_too(method, n):
    places = project(groups()[0][:n], method)
    assert (places.dtype, places.shape) == (np.float32, (n, 2))
    assert np.isfinite(places).all()


@pytest.mark.parametrize("method", ["pca", "t-sne"])
def test_groups_stay_together_and_the_same_seed_is_the_same_map(method):
    features, which = groups()
    places = project(features, method, seed=3)
    middles = np.array([places[which == k].mean(axis=0) for k in range(3)])
    nearest = np.linalg.norm(places[:, None] - middles, axis=2).argmin(axis=1)
    np.testing.assert_array_equal(nearest, which)
    np.testing.assert_array_equal(places, project(features, method, seed=3))
    np.testing.assert_allclose(places.mean(axis=0), 0, atol=1e-5)
    assert places.std(axis=0).max() == pytest.approx(1, abs=1e-4)


@given(st.integers(0, 10**6))
def test_pca_is_scikit_learns(seed):
    features = np.random.default_rng(seed).normal(size=(12, 5)) * (5, 4, 3, 2, 1)
    expected = PCA(2).fit_transform(features)
    places = project(features, "pca") * expected.std(axis=0).max()
    for k in range(2):
        assert min(np.abs(places[:, k] - s * expected[:, k]).max() for s in (1, -1)) < 1e-3


def test_cells_that_are_all_the_same_lie_on_one_place():
    assert not project(np.ones((9, 4)), "t-sne").any()


def test_the_steps_give_the_same_as_the_function():
    features, _ = groups(30)
    for method in ("pca", "t-sne"):
        np.testing.assert_array_equal(
            run(project_steps(features, method)), project(features, method)
        )


def test_what_is_ended_leaves_nothing_running(monkeypatch):
    started = []
    popen = subprocess.Popen

    def start(*args, **options):
        started.append(popen(*args, **options))
        return started[-1]

    monkeypatch.setattr(projection.subprocess, "Popen", start)
    steps = project_steps(groups(2000)[0], "t-sne")
    next(steps)
    began = time.monotonic()
    steps.close()
    assert started[0].poll() is not None
    assert time.monotonic() - began < 2


@pytest.mark.parametrize(
    ("features", "method", "why"),
    [
        (np.zeros((2, 2)), "tarot", "choose one of: pca, t-sne, umap"),
        (np.zeros(4), "pca", "table"),
        (np.zeros((2, 2), int), "pca", "floating point"),
        (np.array([[np.nan, 0.0]]), "pca", "not finite"),
    ],
)
def test_what_cannot_be_projected_is_refused(features, method, why):
    with pytest.raises(WbcError, match=why):
        project(features, method)
    with pytest.raises(WbcError, match=why):
        run(project_steps(features, method))


def test_umap_that_is_not_installed_says_how(monkeypatch):
    monkeypatch.setattr(projection.importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(WbcError, match=r"napari-wbc\[umap\]"):
        project(groups(9)[0], "umap")


def test_a_process_that_fails_says_why(monkeypatch):
    monkeypatch.setattr(projection.sys, "executable", "/bin/false")
    with pytest.raises(WbcError, match="t-SNE failed"):
        run(project_steps(groups(9)[0], "t-sne"))
