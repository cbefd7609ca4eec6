"""Are weights that are tuned worth it, and must they be dynamic? A study on the embedded models."""
