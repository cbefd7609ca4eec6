"""The server around the page: admission, temporary files, sessions, health, logs, startup and shutdown.

It imports neither torch nor Gradio, so that their environment variables can still be set.
"""
