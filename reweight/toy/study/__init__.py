"""Compares ways of training: every arm starts from the same weights, on the same batches, with the same budget."""
