"""Features of cells on a plane: cells that a network takes for alike lie side by side.

Invariant: the same features, method and seed give the same places, so one thread works on them.
t-SNE and UMAP answer nobody until they are done; :func:`project_steps` runs them in a process of
its own, which keeps the window free and can be ended.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_wbc.errors import StepFailed, WbcError
from napari_wbc.model.progress import Progress, Steps

METHODS = ("pca", "t-sne", "umap")
TITLES = {"pca": "PCA", "t-sne": "t-SNE", "umap": "UMAP"}
DIMENSIONS = 50
"""Principal components that t-SNE is given; more hold noise (van der Maaten and Hinton 2008)."""
PERPLEXITY = 30
"""Neighbours that t-SNE keeps near, about."""
NEIGHBOURS = 15
"""Neighbours that UMAP keeps near."""
MIN_CELLS = 4
"""Cells below which t-SNE and UMAP give the principal components."""
POLL_SECONDS = 0.1
"""Between two looks at whether the process is done."""

Features = npt.NDArray[np.floating]
Places = npt.NDArray[np.float32]


def check_method(method: str) -> None:
    """Raise WbcError if there is no such method, or what it needs is not installed."""
    if method not in METHODS:
        raise WbcError(f"No projection {method!r}; choose one of: {', '.join(METHODS)}.")
    if method == "umap" and importlib.util.find_spec("umap") is None:
        raise WbcError('UMAP is not installed: pip install "napari-wbc[umap]", or choose t-SNE.')


def project(features: Features, method: str, *, seed: int = 0) -> Places:
    """Places of cells on a plane.

    Parameters
    ----------
    features : ndarray, shape (N, F), float
    method : str
        One of :data:`METHODS`: ``pca`` (the two widest directions), ``t-sne`` (van der Maaten and
        Hinton 2008; neighbours stay neighbours, distances between groups mean little) or ``umap``
        (McInnes et al. 2018; the same, with groups that lie farther apart).
    seed : int
        0 and more.

    Returns
    -------
    ndarray, shape (N, 2), float32
        ``(x, y)`` about the origin, with a spread of 1.

    Raises
    ------
    WbcError
        If the method is not to be had, or the features are no table of finite numbers.

    Examples
    --------
    >>> project(np.array([[0.0, 0.0], [6.0, 8.0]]), "pca").tolist()
    [[-1.0, 0.0], [1.0, 0.0]]
    """
    check_method(method)
    features = _table(features)
    # Where there are few cells, or none differs, neighbours mean nothing.
    if method == "pca" or len(features) < MIN_CELLS or not np.ptp(features, axis=0).any():
        return _scaled(_components(features, 2))
    places = _t_sne if method == "t-sne" else _umap
    return _scaled(places(features, seed))


def project_steps(features: Features, method: str, *, seed: int = 0) -> Steps[Places]:
    """The steps of :func:`project`; ended early, it leaves nothing running.

    Raises
    ------
    WbcError
        As :func:`project`, and if the process that it runs in fails.
    """
    check_method(method)
    features = _table(features)
    # Done at once, so it needs no process.
    if method == "pca":
        yield Progress(TITLES[method], 0, 0)
        return project(features, method, seed=seed)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        features_file = Path(folder, "features.npy")
        places_file = Path(folder, "places.npy")
        np.save(features_file, features, allow_pickle=False)
        process = _started(features_file, method, seed, places_file)
        began = time.monotonic()
        try:
            while process.poll() is None:
                seconds = int(time.monotonic() - began)
                yield Progress(f"{TITLES[method]} of {len(features):,} cells, {seconds} s", 0, 0)
                time.sleep(POLL_SECONDS)
        finally:
            process.kill()
            message = process.communicate()[1]
        if process.returncode or not places_file.is_file():
            # The last line of a traceback is the error.
            lines = (message or "").strip().splitlines()
            reason = lines[-1] if lines else f"it ended with code {process.returncode}"
            raise StepFailed(f"{TITLES[method]} failed: {reason}.")
        return np.asarray(np.load(places_file, allow_pickle=False))


def _table(features: Features) -> Features:
    """Features as they are, where they are a table of finite numbers."""
    features = np.asarray(features)
    if features.ndim != 2 or not np.issubdtype(features.dtype, np.floating):
        raise WbcError(
            f"Features are a table of one row a cell, of floating point, not {features.dtype} "
            f"of shape {features.shape}."
        )
    if not np.isfinite(features).all():
        raise WbcError("Some features are not finite, so the weights are damaged; choose others.")
    return features


def _components(features: Features, n: int) -> npt.NDArray[np.float64]:
    """The widest directions, shape (N, n); 0 where there are fewer."""
    centred = features
    # The mean of no rows would be a warning, and NaN.
    if len(features):
        centred = features - features.mean(axis=0, keepdims=True, dtype=np.float64)
    # eigh gives the widest last.
    directions = np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :n]
    # An eigenvector has no sign of its own; its largest weight is made positive, so that the same
    # features give the same picture on every machine.
    if directions.size:
        longest = np.abs(directions).argmax(axis=0)
        directions = directions * np.sign(directions[longest, np.arange(directions.shape[1])])
    components = np.zeros((len(features), n))
    components[:, : directions.shape[1]] = centred @ directions
    return components


def _narrowed(features: Features) -> npt.NDArray[np.float32]:
    """The features, or their principal components where they are many."""
    if features.shape[1] > DIMENSIONS:
        features = _components(features, DIMENSIONS)
    return np.ascontiguousarray(features, dtype=np.float32)


def _t_sne(features: Features, seed: int) -> npt.NDArray[np.floating]:
    """Places by scikit-learn."""
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    # A small start at the principal components keeps the large groups where they lie (Kobak and
    # Berens 2019).
    first = _scaled(_components(features, 2)) * np.float32(1e-4)
    perplexity = min(PERPLEXITY, (len(features) - 1) / 3)
    tsne = TSNE(init=first, perplexity=perplexity, random_state=seed, n_jobs=1)
    # In one thread: the sums of several are rounded differently each time.
    with threadpool_limits(1):
        return np.asarray(tsne.fit_transform(_narrowed(features)))


def _umap(features: Features, seed: int) -> npt.NDArray[np.floating]:
    """Places by umap-learn, which with a seed works in one thread."""
    import umap

    neighbours = min(NEIGHBOURS, len(features) - 1)
    # Its start from eigenvectors asks for more cells than directions.
    start = "spectral" if len(features) > 2 * NEIGHBOURS else _scaled(_components(features, 2))
    model = umap.UMAP(n_neighbors=neighbours, init=start, random_state=seed, n_jobs=1)
    return np.asarray(model.fit_transform(_narrowed(features)))


def _scaled(places: npt.NDArray[np.floating]) -> Places:
    """Places about the origin, with a spread of 1 along the wider direction."""
    if not len(places):
        return np.zeros((0, 2), np.float32)
    centred = places - places.mean(axis=0, dtype=np.float64)
    spread = centred.std(axis=0).max()
    return np.asarray(centred / spread if spread > 0 else centred, dtype=np.float32)


def _started(features: Path, method: str, seed: int, places: Path) -> subprocess.Popen[str]:
    """Start a Python that projects."""
    # Not by multiprocessing, which may run a person's script anew. With -P a file that lies where
    # napari was started is no module.
    command = [sys.executable, "-P", "-m", __name__, str(features), method, str(seed), str(places)]
    return subprocess.Popen(  # noqa: S603, the arguments are ours
        command,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )


def _end_with_parent() -> None:
    """Wait until whoever started this is gone, and end."""
    # Standard input closes when the process at its other end does, however that ends.
    sys.stdin.read()
    os._exit(1)


def _main(features: str, method: str, seed: str, places: str) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    result = project(np.load(features, allow_pickle=False), method, seed=int(seed))
    np.save(places, result, allow_pickle=False)


if __name__ == "__main__":
    _main(*sys.argv[1:])
