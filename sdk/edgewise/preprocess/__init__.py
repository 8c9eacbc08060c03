"""From a file or an array to a tensor."""
