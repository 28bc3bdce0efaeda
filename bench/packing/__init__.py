"""What packing and rounding cost and bring, measured."""
