"""How the embedded models are made: captioned pictures, and a small Stable Diffusion trained on them. Not needed to run them."""
