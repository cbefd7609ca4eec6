"""The captioned pictures that the embedded model learns from."""
