"""Formats of training sets, one a module.

A writer is ``write_..._steps(root, fields, classes)``: ``root`` is the folder of the set,
``fields`` are a sequence of LabelledField, and ``classes`` has every label. It raises WbcError if a
label is no class, or a file cannot be written. A reader is ``read_..._steps(root)``: it returns a
tuple of LabelledField, and raises ReadError if a file is damaged, hostile, or does not fit its
image. ``image_place(field)`` is where the image of a field belongs, relative to the set.
To add a format, put it beside these and name it in :mod:`napari_wbc.storage.formats.registry`.
"""
