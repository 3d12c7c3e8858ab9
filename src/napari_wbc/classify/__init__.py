"""Room ``classify``: crops to predictions.

Invariant: training and inference prepare crops by the same
:class:`~napari_wbc.classify.preset.Preset`, which travels in the model card.
"""
