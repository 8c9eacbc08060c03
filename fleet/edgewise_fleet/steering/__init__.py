"""What the fleet's owner says of its devices: the registry, and where it and the rollouts are kept."""
