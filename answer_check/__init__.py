"""Judges an answer by itself: what is degenerate, and how likely a larger model would do better.

Pure functions of texts and numbers. Knows neither Ray, HTTP nor the gateway that asks.
"""
