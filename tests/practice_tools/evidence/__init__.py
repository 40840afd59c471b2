"""What schedules do on the practice host: the trainings behind docs/evidence.md. See __main__.py."""
