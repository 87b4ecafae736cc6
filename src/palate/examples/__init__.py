"""Small real trainings that `palate try` runs, written as a user would write them; data is made or ships in packages."""
