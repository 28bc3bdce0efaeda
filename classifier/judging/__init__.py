"""Questions to a trained classifier: how good it is, why it said so, whether it still fits."""
