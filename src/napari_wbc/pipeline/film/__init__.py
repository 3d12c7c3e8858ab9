"""Whole slides: tiles as tasks, whoever works on them, and what is kept of a run."""
