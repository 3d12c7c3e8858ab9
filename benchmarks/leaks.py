"""Which images of a test split have a copy, whole or in part, on the training side.

    python benchmarks/leaks.py

Prints what it finds on PBC, Chula, BCCD and the published Kaggle split and writes it to
benchmarks/results/, where :func:`finding` reads it to print above a table.

Single cells: Fourier amplitudes propose the nearest images of the other split, and the middle of
one image searched in the other decides. Whole fields: see ``atlas``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
from statsmodels.stats.proportion import proportion_confint

from atlas import Atlas, Image
from napari_wbc.imaging.read import read_image
from napari_wbc.model.split import SPLITS
from public_sets import DATA, pbc, table, unpacked
from record import RESULTS, record

Groups = Mapping[str, Sequence[tuple[str, Image]]]

CACHE = Path(__file__).parents[1] / ".cache"
PROPOSED = 5
SAME = 0.92
"""Correlation from which two single cells are the same pixels. Copies of PBC's cells, shifted by up to 15 %
of their side, brightened and encoded anew at JPEG quality 70, reach 0.93 in 99 of 100 cases and are
all
proposed."""
SAME_FIELD = 0.5
"""The same for fields of which one shows a part of the other. On BCCD, overlapping fields reach 0.6 to 1, all
others stay below 0.2."""
KAGGLE_SIZE = (128, 96)
KAGGLE_SAMPLE = {"test": 600, "train": 1200}


@dataclass(frozen=True, slots=True)
class Finding:
    """What a leak check found.

    Parameters
    ----------
    text : str
        In one or two sentences, to stand above a table.
    pairs : tuple of (str, str, float)
        Names, ``split/name``, of two images of different splits that show the same, and their
        correlation.
    n : int
        Images compared.
    """

    text: str
    pairs: tuple[tuple[str, str, float], ...]
    n: int


def check(groups: Groups, *, whole_fields: bool = False) -> Finding:
    """Look for images that show the same in two splits.

    Parameters
    ----------
    groups : dict of split to sequence of (name, image)
        In the order train, val, test: each split is compared with those before it.
        Images are uint8, shape (height, width, 3). Single cells must be of one size.
    whole_fields : bool
        Match parts of fields, turned and mirrored, by SIFT, in place of whole single cells.
    """
    pairs = tuple(_field_pairs(groups) if whole_fields else _cell_pairs(groups))
    n = sum(map(len, groups.values()))
    exact = sum(r == 1 for *_, r in pairs)
    shares = []
    for split in list(groups)[1:]:
        hits, size = len({b for _, b, _ in pairs if b.startswith(f"{split}/")}), len(groups[split])
        shares.append(f"{hits} of {size} images in {split} ({limits(hits, size)})")
    text = f"{' and '.join(shares)} show what an earlier split shows; {exact} pairs are identical."
    return Finding(text, pairs, n)


def limits(hits: int, n: int) -> str:
    """95 % limits of a share (Clopper-Pearson) in per cent, for instance ``0.0-3.6 %``."""
    low, high = proportion_confint(hits, n, method="beta") if n else (0.0, 1.0)
    return f"{100 * low:.1f}-{100 * high:.1f} %"


def finding(name: str, folder: Path = RESULTS) -> str:
    """The recorded text on ``pbc``, ``chula``, ``bccd`` or ``kaggle``."""
    file = folder / "leaks.json"
    if not file.is_file():
        raise SystemExit(f"{file} is missing; run benchmarks/leaks.py first.")
    found = json.loads(file.read_text(encoding="utf-8"))
    return f"{name}: {found['findings'][name]}"


def spectra(images: Sequence[Image]) -> npt.NDArray[np.float32]:
    """Descriptors of single cells that a shift leaves as they are, shape (N, D); their products are cosines.

    Logarithms of the Fourier amplitudes of a windowed thumbnail, each standardised over the images.
    """
    side = 32
    small = np.array(
        [cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA) for image in images]
    )
    values = small.astype(np.float32) - small.mean(axis=(1, 2), keepdims=True, dtype=np.float32)
    window = np.outer(np.hanning(side), np.hanning(side)).astype(np.float32)[..., None]
    waves = np.log1p(np.abs(np.fft.rfft2(values * window, axes=(1, 2))))[:, :, : side * 3 // 8]
    waves = waves.reshape(len(images), -1).astype(np.float32)
    waves = (waves - waves.mean(axis=0)) / np.maximum(waves.std(axis=0), 1e-6)
    return waves / np.maximum(np.linalg.norm(waves, axis=1, keepdims=True), 1e-6)


def _cell_pairs(groups: Groups) -> Iterator[tuple[str, str, float]]:
    """Pairs of different splits of which one shows the middle of the other."""
    stacked = spectra([image for images in groups.values() for _, image in images])
    ends = np.cumsum([len(images) for images in groups.values()])[:-1]
    descriptors = dict(zip(groups, np.split(stacked, ends), strict=True))
    for a, b in combinations(groups, 2):
        for start in range(0, len(groups[b]), 512):
            near = descriptors[b][start : start + 512] @ descriptors[a].T
            for row, neighbours in enumerate(np.argsort(-near, axis=1)[:, :PROPOSED], start=start):
                name, image = groups[b][row]
                for k in neighbours:
                    other, candidate = groups[a][k]
                    r = 1.0 if np.array_equal(image, candidate) else _shows_middle(image, candidate)
                    if r >= SAME:
                        yield f"{a}/{other}", f"{b}/{name}", r


def _shows_middle(image: Image, other: Image) -> float:
    """Highest correlation of the middle of an image, 70 % of each side, within the other."""
    height, width = (round(0.15 * side) for side in image.shape[:2])
    middle = image[height:-height, width:-width]
    return float(min(cv2.matchTemplate(other, middle, cv2.TM_CCOEFF_NORMED).max(), 0.9999))


def _field_pairs(groups: Groups) -> Iterator[tuple[str, str, float]]:
    """Each image of a later split with the field of an earlier one that it shows a part of."""
    for a, b in combinations(groups, 2):
        atlas = Atlas()
        for name, image in groups[a]:
            atlas.add(name, image)
        for name, image in groups[b]:
            other, r = atlas.match(image)
            if r >= SAME_FIELD:
                yield f"{a}/{other}", f"{b}/{name}", r


def cells_of_pbc() -> Groups:
    """PBC by split, at half its size."""
    groups: dict[str, list[tuple[str, Image]]] = {split: [] for split in SPLITS}
    for row in pbc(CACHE):
        name = f"{row['label']}/{row['path'].name}"
        groups[row["split"]].append((name, reduced(row["path"], (68, 68))))
    return groups


def fields_of(name: str, folder: str, size: tuple[int, int]) -> Groups:
    """Fields of BCCD or Chula by split, at the given (width, height)."""
    groups: dict[str, list[tuple[str, Image]]] = {split: [] for split in SPLITS}
    for row in table(DATA / name / "splits.csv"):
        image = reduced(DATA / name / folder / row["image"], size)
        groups[row["split"]].append((row["image"], image))
    return groups


def reduced(path: Path, size: tuple[int, int]) -> Image:
    """An image file at another (width, height)."""
    return np.asarray(cv2.resize(read_image(path), size, interpolation=cv2.INTER_AREA), np.uint8)


def kaggle_sources(sample: Mapping[str, int], seed: int = 0) -> pd.DataFrame:
    """The source field of random images of the published Kaggle split.

    Images that show none of the 300 fields of BCCD here, nor a part of one, are matched with each
    other; the first of them then stands for their field. A field that two such images show from far
    apart counts twice.

    Returns
    -------
    DataFrame
        With the columns split, name, label, field, known (whether the field is one of BCCD here)
        and r.
    """
    fields, others = Atlas(), Atlas()
    for row in table(DATA / "bccd" / "splits.csv"):
        fields.add(row["image"], reduced(DATA / "bccd" / "JPEGImages" / row["image"], KAGGLE_SIZE))
    rng, rows = np.random.default_rng(seed), []
    for split, n in sample.items():
        members = unpacked(DATA / "kaggle_blood_cells" / f"{split}.zip", CACHE, (".jpeg",))
        for k in rng.permutation(len(members))[:n]:
            name, file = members[k]
            image = read_image(file)
            source, r = fields.match(image)
            known = r >= SAME_FIELD
            if not known:
                source, r = others.match(image)
                if r < SAME_FIELD:
                    source, r = f"{split}/{name}", 1.0
                    others.add(source, image)
            rows.append(
                {
                    "split": split,
                    "name": name,
                    "label": name.split("/")[0],
                    "field": source,
                    "known": known,
                    "r": r,
                }
            )
    return pd.DataFrame(rows)


def check_kaggle(found: pd.DataFrame) -> tuple[Finding, pd.DataFrame]:
    """What the source fields say about the published split, and a row of numbers for each side."""
    groups = {f"{row['image']}.jpg": row["group"] for row in table(DATA / "bccd" / "groups.csv")}
    found = found.assign(group=found["field"].replace(groups))
    train, test = (found[found["split"] == split] for split in ("train", "test"))
    sides = pd.DataFrame([_side("train", train, test), _side("test", test, train)])
    pairs = []
    for name, group, r in test[["name", "group", "r"]].itertuples(index=False):
        twins = train["name"][train["group"] == group]
        if len(twins):
            pairs.append((f"train/{twins.iloc[0]}", f"test/{name}", float(r)))
    twice = test["group"][test["group"].isin(train["group"])].unique()
    same, n = int(test["field"].isin(train["field"]).sum()), len(test)
    fields = test.groupby("label")["field"].nunique()
    text = (
        f"Of {n} random test images, {same} ({limits(same, n)}) show a field that also has copies among "
        f"{len(train)} random training images, and {len(pairs)} ({limits(len(pairs), n)}) such a field or "
        f"one that overlaps it (in {len(twice)} groups of fields). The test images are copies of only about "
        f"{test['field'].nunique()} fields ({', '.join(f'{k} {label}' for label, k in fields.items())}): a "
        "figure on them rests on as many cells, not on 2,487."
    )
    return Finding(text, tuple(pairs), len(found)), sides


def _side(split: str, side: pd.DataFrame, other: pd.DataFrame) -> dict[str, object]:
    """One side of the split in numbers; the labels of known fields show how far the matching errs."""
    labels = {
        int(row["Image"]): row["Category"].lower() for row in table(DATA / "bccd" / "labels.csv")
    }
    known = side[side["known"]]
    right = known["field"].str.extract(r"(\d+)\.jpg")[0].astype(int).map(labels) == known["label"]
    return {
        "split": split,
        "images sampled": len(side),
        "of a BCCD field here": len(known),
        "with that field's label": int(right.sum()),
        "fields": side["field"].nunique(),
        **{f"{label} fields": n for label, n in side.groupby("label")["field"].nunique().items()},
        "images whose field is on the other side": int(side["field"].isin(other["field"]).sum()),
        "or overlaps one that is": int(side["group"].isin(other["group"]).sum()),
    }


def main() -> None:
    cv2.setNumThreads(1)
    findings = {
        "pbc": check(cells_of_pbc()),
        "chula": check(fields_of("chula_wbc", "images", (240, 150)), whole_fields=True),
        "bccd": check(fields_of("bccd", "JPEGImages", (160, 120)), whole_fields=True),
    }
    findings["kaggle"], sides = check_kaggle(kaggle_sources(KAGGLE_SAMPLE))
    record(
        "leaks",
        "Images that show the same on both sides of a split",
        pd.DataFrame(
            [
                {"set": name, "images compared": f.n, "pairs": len(f.pairs)}
                for name, f in findings.items()
            ]
        ),
        tables={"The published Kaggle split: where its images come from": sides},
        data=[DATA / name for name in ("pbc", "chula_wbc", "bccd", "kaggle_blood_cells")],
        notes=[
            *(f"{name}: {f.text}" for name, f in findings.items()),
            "Not found by this: the same donor, or the same cell in another focus or a crop shifted by more "
            "than 15 % of its side.",
            "A Kaggle image that shows a part of a BCCD field need not be its copy: labels may differ then.",
            "Limits are Clopper-Pearson's for images drawn at random; copies of one field are not "
            "independent.",
        ],
        extra={
            "findings": {name: f.text for name, f in findings.items()},
            "pairs": {name: f.pairs for name, f in findings.items()},
        },
    )


if __name__ == "__main__":
    main()
