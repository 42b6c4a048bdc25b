"""Prompts for a picture: one algorithm a file, through the tools that it is given."""
