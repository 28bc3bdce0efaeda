"""Measures how requests are sent to the large tier: the held rate, the answer check."""
