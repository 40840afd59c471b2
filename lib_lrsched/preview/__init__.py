"""What a chart and a form show of a plan."""
