"""What schedules do on the practice host: the trainings, their rows and results. See __main__.py."""
