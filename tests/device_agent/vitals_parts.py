"""File trees as /proc and /sys have them; contents as the kernel's documentation and real boards show them."""

from pathlib import Path

MEMINFO = """\
MemTotal:        3885396 kB
MemFree:          211232 kB
MemAvailable:    2885396 kB
Buffers:           40964 kB
SwapTotal:        102396 kB
SwapFree:          92156 kB
HugePages_Total:       0
"""
STAT = "cpu  {user} 0 0 {idle} 0 0 0 0 0 0\ncpu0 1 0 0 1 0 0 0 0 0 0\ncpu1 1 0 0 1 0 0 0 0 0 0\nintr 1 2\n"
SELF_STAT = "4711 (edgewise) agent)) S 1 1 1 0 -1 0 0 0 0 0 {user} {system} 0 0 20 0 4 0 1 1 1\n"
SELF_STATUS = "Name:\tpython\nVmRSS:\t   61440 kB\nThreads:\t6\n"
SMAPS_ROLLUP = """\
aaaac0000000-ffffe3f2a000 ---p 00000000 00:00 0                          [rollup]
Rss:               61440 kB
Pss:               51200 kB
Pss_Anon:          41000 kB
"""
ROUTES = """\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t0101A8C0\t0003\t0\t0\t700\t00000000\t0\t0\t0
wlan0\t00000000\t0101A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0
wlan0\t0001A8C0\t00000000\t0001\t0\t0\t600\t00FFFFFF\t0\t0\t0
"""
WIRELESS = """\
Inter-| sta-|   Quality        |   Discarded packets               | Missed | WE
 face | tus | link level noise |  nwid  crypt   frag  retry   misc | beacon | 22
 wlan0: 0000   54.  -56.  -256        0      0      0      0     12        0
"""
PRESSURE = """\
some avg10=12.34 avg60=4.00 avg300=1.00 total=123456
full avg10=1.00 avg60=0.00 avg300=0.00 total=1234
"""
BLOCK_STAT = (
    "   12345     2345   987654    12345     5432     1234    20480     6543        0    12345    18888\n"
)


def lay_out(root: Path, files: dict[str, str]) -> Path:
    """Write the files below ``root``, and return it."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root
