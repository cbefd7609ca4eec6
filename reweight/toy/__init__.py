"""The embedded model: a captioned world, and a small Stable Diffusion trained on it. Needed to rebuild the model, not to run it."""
