"""Cost of patches in time and memory, latency of the page, and estimates of how long benchmarks take."""
