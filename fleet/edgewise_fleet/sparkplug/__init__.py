"""The fleet as a Sparkplug host application: edge nodes of any make report into the same tables."""
