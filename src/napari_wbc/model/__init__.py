"""Room ``model``: the nouns. Frozen values, no I/O; numpy, and scipy for limits.

Coordinates are (row, col). A box is ``(top, left, bottom, right)``, half open, in pixels of
its field of view: pixel ``i`` covers ``[i, i + 1)``.
"""
