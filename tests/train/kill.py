"""Kill a program that trains, again and again: weights are old or new, a run ends the same.

python -m tests.train.kill --times 100
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from tests.storage.kill import killed
from tests.train.test_classifier import RECIPE, TAXONOMY, blobs

from napari_wbc.model.progress import run
from napari_wbc.train.classifier import train_classifier
from napari_wbc.weights.store import load_weights

FEW = replace(RECIPE, epochs=4)


def train(out: Path, seed: int) -> None:
    """Train to the end."""
    run(train_classifier(blobs(seed=seed), TAXONOMY, FEW, out, device="cpu"))


def same(a: Path, b: Path) -> bool:
    """Whether two weights files hold the same numbers."""
    ours, theirs = load_weights(a)[0], load_weights(b)[0]
    return ours.keys() == theirs.keys() and all(
        torch.equal(ours[name], theirs[name]) for name in theirs
    )


def main() -> None:
    """Kill a run until it has ended by itself, each time over the weights of the run before."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--times", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rng = random.Random(arguments.seed)
    counts = {"kills": 0, "runs ended": 0, "not old nor new": 0, "other than straight": 0}
    with TemporaryDirectory() as name:
        out, straight = Path(name) / "out", [Path(name) / f"straight-{i}" for i in (0, 1)]
        for i, one in enumerate(straight):
            train(one, i)
        run_number = 0
        while counts["kills"] < arguments.times:
            seed = run_number % 2
            for _ in range(rng.randrange(1, 6)):
                killed(lambda seed=seed: train(out, seed), rng.random() * 2.5)
                counts["kills"] += 1
                weights = out / "tiny.safetensors"
                if weights.exists() and not any(
                    same(weights, one / "tiny.safetensors") for one in straight
                ):
                    counts["not old nor new"] += 1
            train(out, seed)
            counts["runs ended"] += 1
            counts["other than straight"] += not same(
                out / "tiny.safetensors", straight[seed] / "tiny.safetensors"
            )
            shutil.rmtree(out / "checkpoint")
            run_number += 1
    print(json.dumps(counts))


if __name__ == "__main__":
    main()
