"""All cells as pictures, by class."""
