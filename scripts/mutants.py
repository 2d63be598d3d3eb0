"""Draws mutants, and says what became of them; for scripts/mutation, which runs it in its copy.

``draw N``: the names of so many, the same ones each time. ``judge PERCENT``: a table a module, the
names of those that no test noticed, and exit code 1 where fewer than that were killed.
"""

import json
import random
import sys
from pathlib import Path

FOUND = Path("mutants/sfu_wrapper/core")
SEED = 1


def results() -> dict[str, dict[str, int | None]]:
    """By module: the exit code of the tests for each mutant, None where it was not run."""
    return {
        path.name.removesuffix(".py.meta"): json.loads(path.read_text())["exit_code_by_key"]
        for path in sorted(FOUND.glob("*.meta"))
    }


def draw(count: int) -> None:
    """Print the names of some."""
    names = sorted(name for module in results().values() for name in module)
    chosen = random.Random(SEED).sample(names, min(count, len(names)))  # noqa: S311 no secret
    print("\n".join(sorted(chosen)))


def judge(percent: float) -> int:
    """Print what was found."""
    killed_of_all = run_of_all = 0
    survivors: list[str] = []
    for module, codes in results().items():
        run = {name: code for name, code in codes.items() if code is not None}
        alive = [name for name, code in run.items() if code == 0]
        killed = len(run) - len(alive)
        killed_of_all, run_of_all = killed_of_all + killed, run_of_all + len(run)
        survivors += alive
        if run:
            print(f"{module:<12} {killed:>5} of {len(run):>5} killed ({len(codes)} in all)")
    share = 100 * killed_of_all / max(1, run_of_all)
    print("\n".join(survivors))
    print(f"{killed_of_all} of {run_of_all} killed: {share:.1f} %")
    return 0 if share >= percent else 1


if __name__ == "__main__":
    task, number = sys.argv[1:]
    if task == "judge":
        sys.exit(judge(float(number)))
    draw(int(number))
