"""Torch optimizers and their schedulers, without a host: PlanLR, the step hook, optimizer and GradScaler state."""
