"""`python -m benchmarks ROOM [--json]`."""

import argparse
import importlib
import importlib.util
import sys

from benchmarks.table import ROOMS, put_out


def main() -> None:
    """Run one room's benchmarks, or those of all rooms that have some."""
    there = [room for room in ROOMS if importlib.util.find_spec(f"benchmarks.{room}") is not None]
    parser = argparse.ArgumentParser(prog="./scripts/bench")
    parser.add_argument("room", choices=[*there, "all"])
    parser.add_argument("--json", action="store_true", dest="as_json")
    asked = parser.parse_args()
    rooms = there if asked.room == "all" else [asked.room]
    held = [
        put_out(room, importlib.import_module(f"benchmarks.{room}").rows(), as_json=asked.as_json) for room in rooms
    ]
    sys.exit(0 if all(held) else 1)


if __name__ == "__main__":
    main()
