"""What the detectors find and miss, what they cost, and that nothing leaves that must not."""
