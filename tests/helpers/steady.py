"""``sfu-wrapper`` with temporary names that are the same in every run; run as ``python -m``.

A test that wants a process to die at a certain file has to know what it will be called.
"""

import sys
import tempfile
from itertools import count

from sfu_wrapper.adapters.os import files
from sfu_wrapper.cli.main import main

if __name__ == "__main__":
    vars(tempfile)["_name_sequence"] = names = (f"{number:08}" for number in count(1))
    vars(files)["_temporary_name"] = names.__next__
    sys.exit(main())
