"""Which models there are, and opening one: the registry, folders, the hub."""
