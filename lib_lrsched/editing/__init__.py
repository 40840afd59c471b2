"""Edits of a text: its outline, single edits, changes of shape, what can be dragged on the chart."""
