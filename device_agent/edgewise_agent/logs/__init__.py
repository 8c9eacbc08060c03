"""Log lines on stderr and in a bounded file."""
