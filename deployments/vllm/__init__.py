"""The real engine; the only room that imports vLLM."""
