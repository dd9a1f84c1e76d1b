"""Imports TensorFlow without its messages."""


def quietly() -> None:
    """Call it in a command before anything that imports TensorFlow."""
    from vcam_serving.quiet import import_tensorflow

    import_tensorflow()
