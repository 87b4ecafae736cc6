#!/usr/bin/env bash
set -euo pipefail
cd "$(dirname "$0")"
python u.py --seed $PALATE_SEED "$@"  # what is typed behind it
