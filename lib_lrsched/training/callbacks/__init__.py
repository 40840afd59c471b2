"""The parts of a training, each a file: see ../callback.py for when they are called."""
