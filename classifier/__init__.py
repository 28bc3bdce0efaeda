"""Scores prompts: how much would the large model gain on this one? Knows nothing of Ray or HTTP."""
