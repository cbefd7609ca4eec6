"""Distillation of the turbo model: one to four steps, without guidance."""
