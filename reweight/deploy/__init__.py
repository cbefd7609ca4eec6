"""Deployment of the demo to a Hugging Face Space."""
