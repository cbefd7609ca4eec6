"""Picture quality, speed and default settings of the embedded models."""
