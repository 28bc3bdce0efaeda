"""How many replicas a GPU holds, how fast they decode, and how tiers share a fleet."""
