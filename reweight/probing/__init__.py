"""Which block matters at which denoising step: the paper's Importance Probe, its variants, and direct measurements."""
