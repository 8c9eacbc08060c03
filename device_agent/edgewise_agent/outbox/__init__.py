"""Records kept until the broker has them."""
