"""A thin script: what it trains is in a folder beside it."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "src"))

from team.core import main

if __name__ == "__main__":
    main()
