"""What the agent shows on this device itself: a page, Prometheus's text, and one JSON document."""
