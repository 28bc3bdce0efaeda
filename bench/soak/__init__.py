"""An hour of every kind of client, and whether anything grows or goes missing meanwhile."""
