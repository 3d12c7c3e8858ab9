"""Room ``imaging``: pixels in.

Invariant: behind this room every image is a uint8 RGB array of shape (height, width, 3).
"""
