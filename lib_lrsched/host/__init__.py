"""The WebUI: its modules and seams, what is checked before a training, its settings page."""
