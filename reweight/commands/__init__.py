"""The commands of `python -m reweight` that draw, probe and tune: a file for each. Nothing imports them but `__main__`."""
