"""What stands around the page: who is let in, files and sessions that go again, health, logs, starting and stopping.

Light to import: neither torch nor Gradio is, so that their settings can still be made.
"""
