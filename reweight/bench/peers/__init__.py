"""The training-free methods side by side on the same work: cost, quality, and whether importance can guide them."""
