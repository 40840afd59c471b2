"""What lies on disk: files replaced whole, the state and history of runs, presets, locks, the rule of how a run resumes."""
