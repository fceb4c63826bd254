"""What recipe writers use: loading with every check, samples, and a recipe told in words."""
