"""Tunes weights for a score, by gradient through the pipeline or by CMA-ES."""
