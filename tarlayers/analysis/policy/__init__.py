"""Does an image keep to a policy? `evaluation.check_image` is the way in."""
