"""One request's way through the system; knows neither HTTP nor Ray."""
