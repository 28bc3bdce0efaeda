"""A hundred varied prompts through `auto`, as a table."""
