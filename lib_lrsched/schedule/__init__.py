"""From a tree and the length of a run to a Plan: units, shapes, binding, segments, repeats, warnings, plateaus."""
