"""How often does a way of reading results fool its user? Real trainings, frozen scores, policies side by side."""
