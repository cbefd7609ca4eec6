"""Which block matters at which step: the paper's Importance Probe, its variants, and what it is checked against."""
