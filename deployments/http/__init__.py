"""HTTP in and out: bodies, keys, headers, events, OpenAI's error envelope."""
