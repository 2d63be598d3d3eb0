"""``python -m sfu_wrapper.cli``: the same as the console script, for whoever starts children."""

import sys

from sfu_wrapper.cli.main import main

sys.exit(main())
