"""What the fleet may ask of a device: who signed it, whether it was done, and who does it."""
