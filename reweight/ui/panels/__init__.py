"""Drawings from plain arrays, as SVG and HTML text."""
