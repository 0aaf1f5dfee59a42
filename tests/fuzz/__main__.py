"""`make fuzz`: a million frames, blocks and byte streams against everything that reads bytes from analyzers.

Each case has a number; `ARGS="--seed S --only N"` repeats the one that failed. Memory is limited by the system, so that
a leak ends the run; a case that takes long is a failure.
"""

import argparse
import logging
import resource
import sys
import time
from collections import Counter

from tests.fuzz.targets import run_case

MEMORY_BYTES = 1 << 30
LONGEST_CASE_S = 5.0
"""Of CPU time."""


def run(units: int, seed: int) -> Counter[str]:
    """Run cases until they held so many frames, blocks and streams; return how many by target.

    Raises:
        AssertionError: A case failed; the text says how to repeat it.
    """
    done: Counter[str] = Counter()
    number, shown = 0, 0
    while done.total() < units:
        begun = time.process_time()
        try:
            name, count = run_case(seed, number)
        except Exception as error:
            raise AssertionError(f"repeat it with --seed {seed} --only {number}") from error
        spent = time.process_time() - begun
        assert spent < LONGEST_CASE_S, f"--seed {seed} --only {number} took {spent:.1f} s"
        done[name] += count
        number += 1
        if done.total() - shown >= 100_000:
            shown = done.total()
            sys.stdout.write(f"{shown:,} of {units:,}\n")
            sys.stdout.flush()
    return done


def main() -> int:
    """Run what the arguments say."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--units", type=int, default=1_000_000, help="frames, blocks and streams in all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="the number of one case")
    given = parser.parse_args()
    logging.disable(logging.CRITICAL)  # what devices do wrong is said thousands of times
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, resource.getrlimit(resource.RLIMIT_AS)[1]))
    if given.only is not None:
        sys.stdout.write(f"{run_case(given.seed, given.only)}\n")
        return 0
    begun = time.monotonic()
    done = run(given.units, given.seed)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write("".join(f"{name}: {count:,}\n" for name, count in sorted(done.items())))
    sys.stdout.write(f"{done.total():,} in {time.monotonic() - begun:.0f} s, at most {peak:.0f} MiB of memory\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
