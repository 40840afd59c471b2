"""``python -m lib_lrsched``: see cli.py."""

import sys

from .cli import main

sys.exit(main())
