"""How often does a way of reading results fool its user? Real trainings, frozen scores, policies side by side."""

from pathlib import Path

STORED = Path(__file__).with_name("runs.npz")
"""Accuracies of every run, and which test examples were right: `TASK/ARM/score`, `TASK/ARM/right` (packed bits)."""
