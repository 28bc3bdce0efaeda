"""Checkpoints on disk: the default model, its INT4 conversion, what a folder holds."""
