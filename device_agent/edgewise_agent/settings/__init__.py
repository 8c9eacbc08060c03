"""The settings file: read, checked, changed from afar, and put back."""
