"""Weights tuned directly towards a score: by gradient through the pipeline, or by CMA-ES."""
