"""One file per format. Every format converts coordinates and names at its own door."""
