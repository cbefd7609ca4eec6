"""Writes the documents' numbers from the results (`bench report`), and measures the results again (`bench all`)."""
