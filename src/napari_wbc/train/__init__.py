"""Room ``train``: labels to weights.

Invariant: a split is by slide, source image or overlap group, made before any crop is cut;
what is chosen is chosen on validation.
"""
