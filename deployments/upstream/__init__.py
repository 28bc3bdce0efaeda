"""The engine that asks another OpenAI-compatible endpoint; what of it may fail, and what then."""
