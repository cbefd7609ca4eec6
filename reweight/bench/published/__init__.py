"""Documents take their numbers from results: `bench report` writes them, `bench all` measures them again."""
