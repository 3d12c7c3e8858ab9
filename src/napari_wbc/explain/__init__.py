"""Why the model said so: heat on cells, and maps of features."""
