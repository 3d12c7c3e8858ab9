"""Real fields to try things on, from the data folder or downloaded and checked."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pooch

from napari_wbc.errors import WbcError

DATA_VARIABLE = "NAPARI_WBC_DATA"
"""Environment variable that names the folder of real images."""

BCCD_URL = "https://raw.githubusercontent.com/Shenggan/BCCD_Dataset/master/BCCD/JPEGImages/"
"""BCCD, Shenggan and others, MIT licence."""
TIMEOUT = 10
"""Seconds to wait for an answer."""
BCCD_SHA256 = {
    "BloodImage_00010.jpg": "814dad6947309a9ada5383ab622c6f548302c91be9db436d1f2a6030088cedca",
    "BloodImage_00012.jpg": "af2e2f7f66b94cf7bb468e33c3fd61314bd194c7be833238ca6fa757e9a95fc2",
    "BloodImage_00018.jpg": "6ed175f33a783ee1bf8f2a2b4e25090398d0f3ede340ce11aa6eb353fe4ba7d6",
    "BloodImage_00019.jpg": "2ca2fc8c0b920c9edd4aa5ba2b609823c38f146cb945249a9affce78f4598fb1",
    "BloodImage_00020.jpg": "9a451f4c73509cb3f4412cb57a2065a6b85f2759b84be5d662a419c316f59504",
    "BloodImage_00026.jpg": "6152049fdc6f65e152d550b51a49435b9a0360973ae1936b3fde55e449202644",
}
"""sha256 of the sample's files."""


def bccd_test_fields() -> tuple[Path, ...]:
    """Fields of the BCCD test split, if :data:`DATA_VARIABLE` is set and has them."""
    root = os.environ.get(DATA_VARIABLE)
    folder = Path(root or "") / "bccd"
    if not root or not (folder / "splits.csv").is_file():
        return ()
    paths = []
    # The other splits are for training, and a model looks too good on what it has learned.
    with (folder / "splits.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            path = folder / "JPEGImages" / row["image"]
            if row["split"] == "test" and path.is_file():
                paths.append(path)
    return tuple(paths)


def fetch_bccd_fields(*, base_url: str = BCCD_URL, cache: Path | None = None) -> tuple[Path, ...]:
    """Real fields, from the data folder if it is set, else downloaded once to a cache.

    Raises
    ------
    WbcError
        If a file cannot be downloaded, or has another checksum.
    """
    if real := bccd_test_fields():
        return real
    folder = cache or pooch.os_cache("napari-wbc") / "bccd"
    downloader = pooch.HTTPDownloader(timeout=TIMEOUT)
    paths = []
    try:
        for name, sha256 in BCCD_SHA256.items():
            path = pooch.retrieve(
                base_url + name, f"sha256:{sha256}", name, folder, downloader=downloader
            )
            paths.append(Path(path))
    # pooch raises ValueError for a wrong checksum.
    except (OSError, ValueError) as error:
        raise WbcError(
            f"The BCCD sample cannot be downloaded from {base_url} ({error}); check the network, "
            f"or set {DATA_VARIABLE} to a folder that has it."
        ) from error
    return tuple(paths)
