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

__all__ = ["METHODS", "check_method", "project", "project_steps"]

METHODS = ("pca", "t-sne", "umap")
TITLES = dict(zip(METHODS, ("PCA", "t-SNE", "UMAP"), strict=True))
DIMENSIONS = 50
"""Principal components that t-SNE is given; more hold noise (van der Maaten and Hinton 2008)."""
PERPLEXITY = 30
NEIGHBOURS = 15
POLL_SECONDS = 0.1

Features = npt.NDArray[np.floating]
Places = npt.NDArray[np.float32]


def check_method(method: str) -> None:
    """See to it that a method can be used, before work is done for it.

    Raises
    ------
    WbcError
        If there is no such method, or what it needs is not installed.
    """
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
    match method:
        case "t-sne":
            places = _t_sne(features, seed)
        case "umap":
            places = _umap(features, seed)
        case _:
            places = _components(features, 2)
    return _scaled(places)


def project_steps(features: Features, method: str, *, seed: int = 0) -> Steps[Places]:
    """The steps of :func:`project`; ended early, it leaves nothing running.

    Raises
    ------
    WbcError
        As :func:`project`, and if the process that it runs in fails.
    """
    check_method(method)
    features = _table(features)
    if method == "pca":  # done at once
        yield Progress(TITLES[method], 0, 0)
        return project(features, method, seed=seed)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        given, made = Path(folder, "features.npy"), Path(folder, "places.npy")
        np.save(given, features, allow_pickle=False)
        process = _started(given, method, seed, made)
        began = time.monotonic()
        try:
            while process.poll() is None:
                seconds = int(time.monotonic() - began)
                yield Progress(f"{TITLES[method]} of {len(features):,} cells, {seconds} s", 0, 0)
                time.sleep(POLL_SECONDS)
        finally:
            process.kill()
            told = process.communicate()[1]
        if process.returncode or not made.is_file():
            raise StepFailed(_why(TITLES[method], process.returncode, told))
        places: Places = np.load(made, allow_pickle=False)
        return places


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
    """The widest directions, shape (N, n); 0 where there are fewer. Signs: the longest weight is positive."""
    centred = (
        features - features.mean(axis=0, keepdims=True, dtype=np.float64)
        if len(features)
        else features
    )
    _spreads, directions = np.linalg.eigh(centred.T @ centred)
    directions = directions[:, ::-1][:, :n]
    if directions.size:
        longest = np.abs(directions).argmax(axis=0)
        directions = directions * np.sign(directions[longest, np.arange(directions.shape[1])])
    found = np.zeros((len(features), n))
    found[:, : directions.shape[1]] = centred @ directions
    return found


def _narrowed(features: Features) -> npt.NDArray[np.float32]:
    """The features, or their principal components where they are many."""
    if features.shape[1] > DIMENSIONS:
        features = _components(features, DIMENSIONS)
    return np.ascontiguousarray(features, dtype=np.float32)


def _t_sne(features: Features, seed: int) -> npt.NDArray[np.floating]:
    """By scikit-learn, in one thread: the sums of several are rounded differently each time."""
    if len(features) < 4 or not np.ptp(features, axis=0).any():
        return _components(features, 2)
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    narrow = _narrowed(features)
    first = _scaled(_components(features, 2)) * np.float32(1e-4)
    perplexity = min(PERPLEXITY, (len(features) - 1) / 3)
    with threadpool_limits(1):
        places: npt.NDArray[np.floating] = TSNE(
            init=first, perplexity=perplexity, random_state=seed, n_jobs=1
        ).fit_transform(narrow)
    return places


def _umap(features: Features, seed: int) -> npt.NDArray[np.floating]:
    """By umap-learn, which with a seed works in one thread."""
    if len(features) < 4 or not np.ptp(features, axis=0).any():
        return _components(features, 2)
    import umap

    neighbours = min(NEIGHBOURS, len(features) - 1)
    # Its start from eigenvectors asks for more cells than directions.
    start = "spectral" if len(features) > 2 * NEIGHBOURS else _scaled(_components(features, 2))
    made = umap.UMAP(n_neighbors=neighbours, init=start, random_state=seed, n_jobs=1)
    places: npt.NDArray[np.floating] = made.fit_transform(_narrowed(features))
    return places


def _scaled(places: npt.NDArray[np.floating]) -> Places:
    """Places about the origin, with a spread of 1 along the wider direction."""
    if not len(places):
        return np.zeros((0, 2), np.float32)
    centred = places - places.mean(axis=0, dtype=np.float64)
    spread = centred.std(axis=0).max()
    return np.asarray(centred / spread if spread > 0 else centred, dtype=np.float32)


def _started(given: Path, method: str, seed: int, made: Path) -> subprocess.Popen[str]:
    """A Python of its own that projects; not by multiprocessing, which may run a person's script anew."""
    # -P: a file that lies where napari was started is no module.
    command = [sys.executable, "-P", "-m", __name__, str(given), method, str(seed), str(made)]
    return subprocess.Popen(  # noqa: S603, the arguments are ours
        command,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )


def _why(title: str, code: int, told: str) -> str:
    """One line on a process that failed."""
    last = (told or "").strip().splitlines()[-1:] or [f"it ended with code {code}"]
    return f"{title} failed: {last[0]}."


def _end_with_parent() -> None:
    """Wait until whoever started this is gone, and end."""
    sys.stdin.read()
    os._exit(1)


def _main(given: str, method: str, seed: str, made: str) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    places = project(np.load(given, allow_pickle=False), method, seed=int(seed))
    np.save(made, places, allow_pickle=False)


if __name__ == "__main__":
    _main(*sys.argv[1:])
