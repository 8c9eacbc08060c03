"""What a pipeline looks at: what the SDK streams, picture files over and over, and what is sent to the device."""
