"""What a patch costs in time and memory, and how long a benchmark will take."""
