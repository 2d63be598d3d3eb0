"""``python -m sfu_wrapper.cli``: same as the console script, for programs that start children."""

import sys

from sfu_wrapper.cli.main import main

sys.exit(main())
