"""Putting the demo elsewhere: a Space of the Hugging Face hub."""
