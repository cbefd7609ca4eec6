"""One owner of the pipelines: requests, the one place that draws, the worker, provenance."""
