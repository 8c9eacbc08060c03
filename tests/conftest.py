"""What all tests share."""

import signal

pytest_plugins = ["real_data"]

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Started in the background by a shell, the tests inherit an ignored Ctrl-C, and so would all they start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
