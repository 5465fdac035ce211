"""`ratchet train` at a vendor, killed while its job runs there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from openai_hosted_fake import HostedServer


def killed_while_a_job_runs(server: HostedServer, *words: str) -> tuple[int, str]:
    """`ratchet WORDS` as a process, until SIGKILL: its exit status, and what it said. The job may end from then on."""
    server.vendor.paused = 1e9  # it does not end before the process does
    command = [sys.executable, "-m", "flows.cli", *words]
    path = str(Path(__file__).parents[2])
    first = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": path}, stdout=-3, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 150
    while not server.vendor.made and first.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    first.send_signal(signal.SIGKILL)
    said = first.communicate()[1].decode()
    server.vendor.paused = 0.0
    for job in server.vendor.made:
        job.paused = 0.0
    return first.returncode, said
