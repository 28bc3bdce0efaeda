"""Which tier and which model: pure decisions."""
