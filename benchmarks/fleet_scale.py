"""Connects simulated devices to a fleet server, and says what its collector's memory grew by for each.

python benchmarks/fleet_scale.py --devices 10000 --rate 500 --seconds 60
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# In place of this folder, where benchmarks/fleet.py would be found as `fleet`.
sys.path[0] = str(Path(__file__).resolve().parents[1] / "tests")

from fleet.real_parts import EDGEWISE, Servers


def resident_kb(process_id: int) -> int:
    """VmRSS of a process."""
    status = Path(f"/proc/{process_id}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])


def simulate(url: str, devices: int, rate: float, seconds: float, group: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            EDGEWISE, "fleet", "simulate", "--devices", str(devices), "--rate", str(rate), "--group", group,
            "--seconds", str(seconds), "--broker", url, "--outages", "0", "--kills", "0",
        ],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=500.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        servers = Servers(Path(folder))
        try:
            server = servers.start()
            # What comes with the first device and with so many messages is not of each device.
            simulate(server.broker_url, 10, given.rate, given.seconds, "warm").wait()
            before_kb = resident_kb(server.process.pid)
            fleet = simulate(server.broker_url, given.devices, given.rate, given.seconds, "scale")
            most_kb = own_kb = 0
            while fleet.poll() is None:
                most_kb = max(most_kb, resident_kb(server.process.pid))
                own_kb = max(own_kb, resident_kb(fleet.pid))
                time.sleep(1)
            assert fleet.stdout
            totals = json.loads(fleet.stdout.read())
            print(
                json.dumps(
                    {
                        "connected_most": totals["connected_most"],
                        "server_before_kb": before_kb,
                        "server_most_kb": most_kb,
                        "server_bytes_per_device": round((most_kb - before_kb) * 1024 / given.devices),
                        "simulator_bytes_per_device": round(own_kb * 1024 / given.devices),
                        "totals": totals,
                    }
                )
            )
        finally:
            servers.end()


if __name__ == "__main__":
    main()
