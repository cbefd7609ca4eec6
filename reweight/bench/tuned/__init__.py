"""A study on the embedded models: whether tuned weights are worth it, and whether they need to be dynamic."""
