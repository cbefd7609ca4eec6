"""Statistics and result files of the benchmarks: intervals, Fréchet distances, figures with goals."""
