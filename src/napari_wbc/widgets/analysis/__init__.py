"""Find, classify and explain: the panels that run a model on the slide."""
