"""One file for each screen: it builds itself, handles its events and registers itself."""
