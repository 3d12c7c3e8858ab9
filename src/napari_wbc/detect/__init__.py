"""Room ``detect``: image to detections.

Invariant: a detector knows places, never classes; it takes a uint8 RGB image of shape
(height, width, 3) and returns detections in pixels of that image.
"""
