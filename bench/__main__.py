"""`make bench`: every benchmark, or those named; each writes its section of `bench/RESULTS.md`."""

from __future__ import annotations

import argparse
import importlib
import os
import sys

NAMES = ("parsers", "render", "instruments", "startup", "host_query", "lifecycle")


def main() -> int:
    """Run what the arguments name."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(NAMES))
    names: list[str] = parser.parse_args().names or list(NAMES)
    if unknown := set(names) - set(NAMES):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    for name in names:
        importlib.import_module(f"bench.{name}").run()
    return 0


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    os._exit(status)  # the Temporal client's threads now and then abort the interpreter's own shutdown
