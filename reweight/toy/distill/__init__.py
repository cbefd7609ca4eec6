"""The turbo model: one to four steps, without guidance."""
