"""What keeps a device at work when a model hangs or crashes the process, again and again, long after its update."""
