"""Room ``measure``: metrics, two models compared, two readers compared, and their pictures."""
