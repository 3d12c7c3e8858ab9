"""Whole slides, read by region.

Invariant: memory depends on the region that is read and never on the size of the slide; label and
macro images are never read, and no text of a file leaves this package.
"""
