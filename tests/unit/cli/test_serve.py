"""What ``serve`` does beside the controller itself."""

import gc

from sfu_wrapper.cli import serve


def test_what_is_there_at_the_start_is_left_out_of_garbage_collections() -> None:
    before = gc.get_freeze_count()
    try:
        serve._spare_the_collector()

        assert gc.get_freeze_count() > before + 10_000
    finally:
        gc.unfreeze()
