"""``sfu-wrapper`` with temporary names that are the same in every run; run as ``python -m``.

Whoever wants a process to die at a certain file has to know what it will be called.
"""

import sys
import tempfile
from itertools import count

from sfu_wrapper.cli.main import main

if __name__ == "__main__":
    vars(tempfile)["_name_sequence"] = (f"{number:08}" for number in count(1))
    sys.exit(main())
