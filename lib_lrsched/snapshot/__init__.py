"""Everything that the next update depends on: taken, written, read, found and put back."""
