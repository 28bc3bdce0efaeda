"""Labelled prompts: what a row is, how files are read, and how rows are kept apart."""
