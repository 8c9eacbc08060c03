"""The way to the broker: which one, how soon again, by which certificates, and what is under way."""
