"""The names of the splits, and the one that a slide gets by its name.

Which split a slide is in, once it has one, is decided in :mod:`napari_wbc.pipeline.split_rule`.
"""

from __future__ import annotations

import hashlib
from types import MappingProxyType

SPLITS = ("train", "val", "test")
PURPOSES = MappingProxyType({"train": "learn", "val": "check", "test": "test"})
"""What a model does with the cells of each split, as a person reads it."""
BY_SLIDE = "by-slide"
"""Each slide's split is found from its name."""
SHARES = (0.7, 0.15, 0.15)
"""Of the slides, by split."""


def farthest(*sides: str) -> str:
    """The one of some splits that is farthest from train; empty if there is none.

    Examples
    --------
    >>> farthest("train", "test", ""), farthest("")
    ('test', '')
    """
    return max(filter(None, sides), key=SPLITS.index, default="")


def splits_told(content: object) -> dict[str, str]:
    """Splits by name, as a file says that may be anybody's; what is no split is left out.

    Examples
    --------
    >>> splits_told({"a": "test", "b": "?"}), splits_told(None)
    ({'a': 'test'}, {})
    """
    given = content if isinstance(content, dict) else {}
    return {str(name): side for name, side in given.items() if side in SPLITS}


def split_of(slide: str) -> str:
    """The split of a slide, found from its name alone: 70 % train, 15 % val, 15 % test.

    Examples
    --------
    >>> split_of("slide 1") == split_of("slide 1")
    True
    """
    # By a hash, so that a slide stays on its side when others come, on any machine.
    digest = hashlib.sha256(slide.encode("utf-8", "surrogatepass")).hexdigest()
    place = int(digest[:12], 16) / 16**12
    end = 0.0
    for split, share in zip(SPLITS, SHARES, strict=True):
        end += share
        if place < end:
            return split
    # The shares may add up to a little less than 1.
    return SPLITS[-1]
