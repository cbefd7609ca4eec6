"""The classifier and the scorer of the embedded model's world."""
