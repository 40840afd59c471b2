"""A tiny text-to-image diffusion host of our own: the demo, the test bed and the place for experiments.

It has the seams of the WebUI, so the hooks install on it exactly as on the WebUI. Nothing is imported here:
importing a file of this package has no effect beyond its names.
"""
