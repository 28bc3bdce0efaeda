"""What is kept of a request."""
