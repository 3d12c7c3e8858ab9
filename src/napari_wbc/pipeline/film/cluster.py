"""A cluster of ``dask.distributed`` that works on the tiles of whole slides.

The tasks are those of worker processes; a worker of the cluster does one at a time. Invariant: what
a worker answers counts only if its models are those of this process.
"""

from __future__ import annotations

import ipaddress
import logging
import threading
import time
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from napari_wbc.classify.predict import Classifier
from napari_wbc.detect.base import Detector
from napari_wbc.detect.finders import located_by
from napari_wbc.errors import WbcError
from napari_wbc.model.words import counted
from napari_wbc.pipeline.film.crew import TICK, TRIES, Crew, Outcome, result_of, told
from napari_wbc.pipeline.film.tasks import Bench, Models, Task
from napari_wbc.weights.device import limit_threads

CONNECT_S = 10.0
"""Seconds for which a scheduler is looked for, and then for its first worker."""
CLOSE_S = 2.0
"""Seconds that the end of a connection may take."""
PATIENCE_S = 60.0
"""Seconds without a result after which it is asked whether there still is a worker."""
GPU = "GPU"
"""Resource of workers that have a GPU, where one is asked for."""

_working = threading.Lock()


@dataclass(frozen=True)
class Cluster:
    """Where a scheduler listens, and how the connection to it is kept private.

    Parameters
    ----------
    address : str
        ``tls://host:8786`` or ``tcp://host:8786``.
    tls_ca, tls_cert, tls_key : Path, optional
        Certificate of the authority, and certificate and key of this client, as PEM files.
    plain_tcp : bool
        Whether slides and results may travel unencrypted to another machine.

    Raises
    ------
    WbcError
        If the address is none, a file is missing, or the connection would not be private.
    """

    address: str
    tls_ca: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    plain_tcp: bool = False

    def __post_init__(self) -> None:
        url = self._url
        if url.scheme not in ("tcp", "tls") or not url.hostname or not _has_port(url):
            raise WbcError(
                f"{self.address!r} is no address of a scheduler; give one as tls://host:8786."
            )
        files = (self.tls_ca, self.tls_cert, self.tls_key)
        if url.scheme == "tls" and None in files:
            raise WbcError("A tls:// scheduler needs --tls-ca, --tls-cert and --tls-key.")
        for path in files:
            if path is not None and not path.is_file():
                raise WbcError(f"{path}: no such file; give the PEM files of the cluster.")
        if url.scheme == "tcp" and not self.plain_tcp and not _is_this_machine(url.hostname):
            raise WbcError(
                f"{self.address} is not encrypted, and whoever is on the network could read the "
                "slides and run programs on the cluster. Use tls://, or --allow-plain-tcp in a "
                "network of your own."
            )

    @property
    def _url(self) -> Any:
        return urlsplit(self.address if "://" in self.address else f"tcp://{self.address}")

    def connect(self) -> Any:
        """A client of the scheduler.

        Raises
        ------
        WbcError
            If dask.distributed is not installed, or no scheduler answers.
        """
        # It takes a second to import, and only a cluster needs it.
        try:
            from distributed import Client
            from distributed.security import Security
        except ImportError:
            raise WbcError(
                'A cluster needs dask.distributed; install it: pip install "napari-wbc[cluster]".'
            ) from None
        # It prints a traceback for what is told in a line.
        logging.getLogger("distributed").setLevel(logging.CRITICAL)
        security = None
        if self._url.scheme == "tls":
            security = Security(
                tls_ca_file=str(self.tls_ca),
                tls_client_cert=str(self.tls_cert),
                tls_client_key=str(self.tls_key),
                require_encryption=True,
            )
        try:
            return Client(
                self._url.geturl(), security=security, timeout=CONNECT_S, set_as_default=False
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise WbcError(
                f"{self.address}: no scheduler answers there ({told(error)}). Start one with "
                "`dask scheduler`, and workers with `dask worker`."
            ) from error


def _has_port(url: Any) -> bool:
    try:
        return url.port is not None
    except ValueError:
        return False


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class ClusterCrew(Crew):
    """Has tasks done by a cluster; to be used in a ``with`` statement.

    Parameters
    ----------
    finder, classifier
        Of this process, as of :class:`~napari_wbc.pipeline.film.crew.Crew`.
    models : Models
        What the workers load.
    cluster : Cluster
    """

    def __init__(
        self, finder: Detector, classifier: Classifier | None, models: Models, cluster: Cluster
    ) -> None:
        super().__init__(finder, classifier, models)
        self._cluster = cluster
        self._client: Any = None

    def close(self) -> None:
        """Let go of the slide and of the cluster."""
        super().close()
        if self._client is not None:
            # Where it is slow, its process ends it.
            with suppress(TimeoutError):
                self._client.close(timeout=CLOSE_S)

    def connect(self) -> str:
        """Connect to the scheduler; says where its workers and its dashboard are.

        Raises
        ------
        WbcError
            As :meth:`Cluster.connect`.
        """
        self._client = self._cluster.connect()
        workers = counted(len(self._client.nthreads()), "worker")
        dashboard = self._client.dashboard_link
        return f"Tiles go to {workers} of {self._cluster.address}; dashboard: {dashboard}"

    def outcomes(self, tasks: Iterable[Task]) -> Iterator[Outcome | None]:
        """See :meth:`Crew.outcomes`.

        Raises
        ------
        WbcError
            If the scheduler cannot be reached or is lost, has no worker, or a worker has other
            models.
        """
        waiting = list(tasks)
        if not waiting:
            return
        if self._client is None:
            self.connect()
        client = self._client
        yield from self._first_worker(client)
        running = {self._submitted(client, task): task for task in waiting}
        try:
            yield from self._results(client, running)
        finally:
            # Whoever stopped iterating wants no more of it.
            if running and client.status == "running":
                client.cancel(list(running), force=True)

    def _results(self, client: Any, running: dict[Any, Task]) -> Iterator[Outcome | None]:
        """Outcomes of tasks that are with the cluster, each taken out of ``running``."""
        tries: Counter[int] = Counter()
        asked = time.monotonic()
        while running:
            done = [future for future in running if future.done()]
            if client.status != "running":
                raise self._lost()
            if not done:
                asked = yield from self._waited(client, asked)
                continue
            asked = time.monotonic()
            for future in done:
                task = running.pop(future)
                error, answer = self._answer(future)
                tries[id(task)] += 1
                if not error:
                    yield Outcome(task, answer)
                elif tries[id(task)] < TRIES:
                    running[self._submitted(client, task)] = task
                else:
                    yield Outcome(task, None, error)

    def _waited(self, client: Any, asked: float) -> Generator[None, None, float]:
        """Wait a little; when it was last asked for workers."""
        time.sleep(TICK)
        yield None
        # Without a worker dask would wait for ever.
        if time.monotonic() - asked < PATIENCE_S:
            return asked
        yield from self._first_worker(client)
        return time.monotonic()

    def _first_worker(self, client: Any) -> Iterator[None]:
        end = time.monotonic() + CONNECT_S
        while not client.nthreads():
            if time.monotonic() > end:
                raise WbcError(
                    f"{self._cluster.address}: the scheduler has no worker. Start some with "
                    f"`dask worker {self._cluster.address} --nthreads 1`."
                )
            time.sleep(TICK)
            yield None

    def _submitted(self, client: Any, task: Task) -> Any:
        assert self._models is not None
        resources = {GPU: 1} if self._models.device == "cuda" else None
        # Not pure: a task that is tried again is another one.
        return client.submit(do_task, self._models, task, pure=False, resources=resources)

    def _answer(self, future: Any) -> tuple[str, Any]:
        """Why a task failed, and its result."""
        if future.status == "finished":
            by, answer = future.result()
            mine = identity(self.finder, self.classifier)
            if by != mine:
                raise WbcError(
                    f"A worker of {self._cluster.address} has other models ({by}) than this "
                    f"computer ({mine}); install the same napari-wbc and models there."
                )
            return "", answer
        if future.status == "error":
            return told(future.exception()), None
        raise self._lost()

    def _lost(self) -> WbcError:
        return WbcError(
            f"{self._cluster.address}: the scheduler was lost. Tiles that are done stay done. "
            "Start it and its workers again, then run the same command."
        )


def identity(finder: Detector, classifier: Classifier | None) -> str:
    """What the results of tasks depend on beside the slide, in one line."""
    by = located_by(finder)
    model = ""
    if classifier is not None:
        model = f" and {classifier.card.model_id} from {classifier.threshold:g} on"
    return f"{by.detector} {dict(by.parameters)}{model}"


def do_task(models: Models, task: Task) -> tuple[str, Any]:
    """Do a task on a worker; what its models are, and the result."""
    # A worker with several threads still has one slide open.
    with _working:
        bench = _bench(repr(models), models)
        return identity(bench.finder, bench.classifier), result_of(task, bench)


_benches: dict[str, Bench] = {}


def _bench(key: str, models: Models) -> Bench:
    """The models of this worker, which are loaded once."""
    if key not in _benches:
        limit_threads(1)
        _benches.clear()
        _benches[key] = Bench.of(models)
    return _benches[key]
