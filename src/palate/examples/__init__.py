"""Small real trainings for `palate try`, written as a user would; their data is made, or ships in packages."""
