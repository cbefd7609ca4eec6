"""The registry of models, and loading them from folders or the hub."""
