"""How well an answer's beginning tells that the small model is wrong."""
