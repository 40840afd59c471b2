"""Makes and judges the practice model; nothing that users load."""
