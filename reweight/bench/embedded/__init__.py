"""What the embedded models draw, and how fast."""
