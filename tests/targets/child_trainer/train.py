import subprocess
import sys

import config

print(f"training with {config.LR}")
subprocess.run([sys.executable, "-u", "worker.py", "--epochs", "3"], check=True)
