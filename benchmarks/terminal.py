"""What a command costs until it asks something at a terminal."""

import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path


def cpu_to_prompt(folder: Path, words: tuple[str, ...], want: bytes = b"then how sure") -> float:
    """Run a command on a pseudo-terminal until it prompts; give the seconds of CPU that it took."""
    command = [sys.executable, "-m", "palate", *words]
    environment = {**os.environ, "PALATE_HOME": str(folder / ".palate"), "PALATE_AUTHOR": "bench"}
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True
    )
    os.close(terminal)
    try:
        told, until = b"", time.monotonic() + 30
        while want not in told:
            if not select.select([controller], [], [], 1)[0] and time.monotonic() > until:
                raise TimeoutError(told)
            told += os.read(controller, 4096)
        taken = int(Path(f"/proc/{process.pid}/schedstat").read_text().split()[0]) / 1e9
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(20)
        os.close(controller)
    return taken
