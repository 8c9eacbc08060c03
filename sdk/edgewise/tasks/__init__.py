"""From output tensors to typed answers."""
