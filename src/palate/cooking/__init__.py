"""Cooking: what a person does to a training while it runs, and when a stage of it ends."""
