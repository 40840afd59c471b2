"""Other programs' schedules, in and out."""
