"""A short text of each format that is imported, for a box that waits for one."""

from __future__ import annotations

from collections.abc import Mapping

EXAMPLES: Mapping[str, str] = {
    "a1111": "0.005:100, 1e-3:1000, 1e-5",
    "diffusers": "1:10,0.1:20,0.01",
    "deepspeed": """{"scheduler": {"type": "WarmupLR",
 "params": {"warmup_max_lr": 0.005,
  "warmup_num_steps": 100,
  "warmup_type": "linear"}}}""",
    "kohya": """--learning_rate=0.005 --lr_scheduler=cosine
 --lr_warmup_steps=100 --max_train_steps=2000
# or what kohya_ss saves, or a TOML file""",
    "onetrainer": """{"learning_rate": 0.005,
 "learning_rate_scheduler": "COSINE",
 "learning_rate_warmup_steps": 100,
 "epochs": 20}""",
}
