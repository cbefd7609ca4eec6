"""Intervals, Frechet distances, and the figures that they belong to."""
