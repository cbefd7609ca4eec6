"""Requests, drawing, measuring, the worker that owns the pipelines, and provenance of pictures."""
