"""What accounts cost, and that they add up."""
