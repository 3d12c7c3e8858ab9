"""Tiles on a cluster of dask.distributed: the cells of one process, whatever dies meanwhile."""

from __future__ import annotations

import os
import signal
import time
from contextlib import closing

import pytest
from tests.pipeline.film.test_analyze import said

from napari_wbc.errors import WbcError
from napari_wbc.model.progress import run
from napari_wbc.pipeline.film import cluster as module
from napari_wbc.pipeline.film.cluster import Cluster

distributed = pytest.importorskip("distributed")
pytestmark = pytest.mark.usefixtures("measured_once")


@pytest.fixture
def local():
    """A scheduler and two workers, each a process of its own."""
    with closing(
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        )
    ) as cluster:
        yield cluster


def test_the_cells_are_those_of_one_process_though_a_worker_is_killed(slide, analyzed, local):
    alone = said(run(analyzed(slide)))
    killed = []
    results = []

    def killing(steps):
        for progress in steps:
            if "locating" in progress.step and progress.done == 2 and not killed:
                killed.append(local.workers[0].pid)
                os.kill(killed[0], signal.SIGKILL)
            results.append(progress)
            yield progress
        return None

    cluster = Cluster(local.scheduler_address)
    steps = analyzed(slide, cluster=cluster)
    found = []

    def kept():
        found.append((yield from steps))

    run(killing(kept()))
    assert killed
    (analysis,) = found
    assert not analysis.failures
    assert said(analysis) == alone
    assert any("2 workers" in progress.note for progress in results)


def test_a_scheduler_that_is_lost_is_told_and_the_next_run_goes_on(
    slide, analyzed, local, tmp_path
):
    steps = analyzed(slide, cluster=Cluster(local.scheduler_address), keep=tmp_path)
    for progress in steps:
        if "locating" in progress.step and progress.done == 2:
            break
    local.close()
    with pytest.raises(WbcError, match="scheduler was lost") as raised:
        run(steps)
    assert "run the same command" in str(raised.value)
    again = analyzed(slide, keep=tmp_path)
    first = next(progress for progress in again if "locating" in progress.step)
    assert first.done >= 1
    assert said(run(again)) == said(run(analyzed(slide)))


def test_a_cluster_whose_workers_are_all_gone_is_told(slide, analyzed, local, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE_S", 0.5)
    monkeypatch.setattr(module, "CONNECT_S", 1.0)
    steps = analyzed(slide, cluster=Cluster(local.scheduler_address))
    for progress in steps:
        if "locating" in progress.step and progress.done == 1:
            break
    local.scale(0)
    with pytest.raises(WbcError, match="the scheduler has no worker"):
        run(steps)


def test_a_worker_with_other_models_counts_for_nothing(slide, analyzed, local, monkeypatch):
    monkeypatch.setattr(module, "identity", lambda *_models: "another model")
    with pytest.raises(WbcError, match="has other models"):
        run(analyzed(slide, cluster=Cluster(local.scheduler_address)))


def test_cancelling_takes_the_tasks_away(slide, analyzed, local):
    steps = analyzed(slide, cluster=Cluster(local.scheduler_address))
    for progress in steps:
        if "locating" in progress.step and progress.done == 1:
            break
    start = time.monotonic()
    steps.close()
    assert time.monotonic() - start < 2


def test_no_scheduler_is_told(slide, analyzed, monkeypatch):
    monkeypatch.setattr(module, "CONNECT_S", 0.5)
    with pytest.raises(WbcError, match="no scheduler answers there"):
        run(analyzed(slide, cluster=Cluster("tcp://127.0.0.1:9")))


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("tcp://10.1.2.3:8786", "not encrypted"),
        ("10.1.2.3:8786", "not encrypted"),
        ("tcp://scheduler.lab:8786", "not encrypted"),
        ("tls://scheduler.lab:8786", "--tls-ca, --tls-cert and --tls-key"),
        ("http://localhost:8786", "no address"),
        ("tcp://localhost", "no address"),
        ("tcp://localhost:port", "no address"),
        ("", "no address"),
    ],
)
def test_an_address_that_is_none_or_not_private_is_refused(address, why):
    with pytest.raises(WbcError, match=why):
        Cluster(address)


def test_plain_tcp_is_for_this_computer_or_for_who_asks_for_it(tmp_path):
    Cluster("tcp://127.0.0.1:8786")
    Cluster("localhost:8786")
    Cluster("tcp://[::1]:8786")
    Cluster("tcp://10.1.2.3:8786", plain_tcp=True)
    missing = tmp_path / "ca.pem"
    with pytest.raises(WbcError, match=r"ca\.pem: no such file"):
        Cluster("tls://lab:8786", missing, missing, missing)
