"""``python -m lib_lrsched``: see cli/."""

import sys

from lib_lrsched.cli.main import main

sys.exit(main())
