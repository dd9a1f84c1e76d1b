"""Class activation maps: layers and their geometry, methods, what is computed of a map."""
