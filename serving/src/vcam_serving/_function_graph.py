"""Follows the inputs of a signature into the functions of a SavedModel's graph."""

from collections.abc import Iterator
from typing import Any

_CALLS = ("PartitionedCall", "StatefulPartitionedCall")


def unchecked_inputs(graph: Any, signature: Any) -> list[str]:
    """Inputs that something other than `tf.ensure_shape` reads first.

    Args:
        graph: GraphDef with its function library.
        signature: SignatureDef.

    Returns:
        The names of such inputs, sorted; an input that nothing reads is none.
    """
    library = {function.signature.name: function for function in graph.library.function}
    unchecked = []
    for alias, info in signature.inputs.items():
        name = info.name.split(":")[0]
        if any(not _checks(graph.node, node, i, library) for node, i in _readers(graph.node, name)):
            unchecked.append(alias)
    return sorted(unchecked)


def _readers(nodes: Any, name: str) -> Iterator[tuple[Any, int]]:
    """Nodes that read a placeholder or argument, with the position of the input."""
    for node in nodes:
        for position, source in enumerate(node.input):
            if source.split(":")[0] == name:
                yield node, position


def _checks(nodes: Any, node: Any, position: int, library: dict[str, Any]) -> bool:
    if node.op == "EnsureShape":
        return True
    if node.op == "Identity":
        return all(_checks(nodes, n, i, library) for n, i in _readers(nodes, node.name))
    if node.op not in _CALLS and node.op not in library:
        return False
    function = library[node.attr["f"].func.name if node.op in _CALLS else node.op]
    argument = function.signature.input_arg[position].name
    readers = _readers(function.node_def, argument)
    return all(_checks(function.node_def, n, i, library) for n, i in readers)
