"""The split that a folder, a file or a column names: ``train``, ``Test-A``, ``validation``."""

from __future__ import annotations

import re

from napari_wbc.model.split import SPLITS

_NAMES = re.compile(
    "(?:(?P<train>train(?:ing)?)|(?P<val>val(?:id(?:ation)?)?)|(?P<test>test(?:ing)?))"
    # One more word at most, as in "Test-A", "train2017" and "validation set".
    r"[\W_]*(?:[a-z]|\d*|set|data)",
    re.IGNORECASE,
)


def split_named(name: str) -> str:
    """The split that a name means, ours or another program's; empty if it means none.

    Examples
    --------
    >>> split_named("Test-A"), split_named("TRAINING"), split_named("valid"), split_named("blast")
    ('test', 'train', 'val', '')
    """
    match = _NAMES.fullmatch(name.strip())
    return (match.lastgroup or "") if match else ""


def split_of_place(place: str) -> str:
    """The split that a file or one of its folders is named after, or else ``train``.

    Examples
    --------
    >>> split_of_place("annotations/instances_val2017.json")
    'val'
    """
    # The name of the file says more than that of a folder: "train/annotations/val.json".
    for part in reversed(place.split("/")):
        for word in (part, *re.findall("[a-z]+", part.lower())):
            if split := split_named(word):
                return split
    return SPLITS[0]
