"""The Sparkplug 3.0 edge node profile: payloads, metrics, births, the session, and a checker of the rules."""
