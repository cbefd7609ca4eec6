"""The captioned pictures on which the embedded models are trained."""
