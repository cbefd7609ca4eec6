"""Comparison of the training-free methods: cost, quality, and whether importance scores can guide them."""
