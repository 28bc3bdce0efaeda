"""How many replicas, and how they pack onto GPUs: pure decisions with thin shells around them."""
