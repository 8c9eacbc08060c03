"""From a detection network's outputs to boxes, one file per family of heads."""
