"""What is kept of money, keys and requests: one database, which one process writes."""
