"""The report of a slide, written and signed."""
