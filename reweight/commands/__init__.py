"""The commands of `python -m reweight` that draw, probe and tune, one file each, imported only by `__main__`."""
