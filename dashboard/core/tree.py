"""The parser's tree, easy to read: attributes are strings, numbers, tuples and nodes, never wrappers."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

Read = Callable[[Any], Any]
Prune = Callable[["Node", str], bool]


class Node:
    """One node of the parse tree, a thin view over the parser's message; its fields are its attributes.

    Names are libpg_query's, in snake case: `drop.remove_type == "OBJECT_TABLE"`, `delete.where_clause`. A missing node
    is None, an enumeration its name, a list a tuple; lists, names, integers and booleans come as plain values.
    `location` counts bytes from the start of the text that was parsed; most whole statements have none.
    """

    type: str

    def __init__(self, message: Any) -> None:
        self.message = message

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

    def __repr__(self) -> str:
        return f"<{self.type}>"

    def get(self, name: str) -> Any:
        """The field's value, or None where this type of node has no such field."""
        return getattr(self, name) if name in self.message.DESCRIPTOR.fields_by_name else None

    @property
    def constant(self) -> Any:
        """The value of an `A_Const`: int, str, bool or None for NULL; other numbers and bit strings as str."""
        match self.message.WhichOneof("val"):
            case "ival":
                return self.message.ival.ival
            case "boolval":
                return self.message.boolval.boolval
            case "sval":
                return self.message.sval.sval
            case "fval":
                return self.message.fval.fval
            case "bsval":
                return self.message.bsval.bsval
            case _:
                return None


def node_of(message: Any) -> Any:
    """A parser's message as a plain value or a Node, its wrappers taken off."""
    return _readers[type(message)](message)


def walk(root: Node, prune: Prune | None = None) -> Iterator[Node]:
    """Every node below `root` and itself, in the order of the tree (not recursive: depth does not matter).

    `prune(node, field)` leaves out what hangs on that field.
    """
    yield root
    stack = _children(root, prune)
    while stack:
        message = stack.pop()
        read = _readers[type(message)]
        if read is _unwrapped:
            which = message.WhichOneof("node")
            if which:
                stack.append(getattr(message, which))
        elif read is _listed:
            stack.extend(reversed(message.items))
        elif read not in _LEAVES:
            node = read(message)
            yield node
            stack += _children(node, prune)


def find(root: Node, *types: str) -> Iterator[Node]:
    """The nodes of these types below `root`, itself included."""
    return (node for node in walk(root) if node.type in types)


def first_location(root: Node) -> int | None:
    """The smallest byte offset that a node below `root` knows; None where none does."""
    places = [place for node in walk(root) if (place := node.get("location")) is not None and place >= 0]
    # The parser writes no location as 0 as well as -1, so 0 counts only where nothing else is known.
    return min((place for place in places if place), default=0 if places else None)


def _children(node: Node, prune: Prune | None) -> list[Any]:
    """Messages, the last one first."""
    found: list[Any] = []
    if node.type in _CHILDLESS:
        return found
    for field, value in node.message.ListFields():
        if field.message_type is None or (prune is not None and prune(node, field.name)):
            continue
        if field.is_repeated:
            found += value
        else:
            found.append(value)
    found.reverse()
    return found


_CHILDLESS = frozenset({"A_Const", "A_Star", "ParamRef"})


# --- one reader for each of the parser's types of messages: bulk INSERTs have millions of them ---


class _Readers(dict[type, Read]):
    """Made when the first message of a type is read: a statement needs few of the 270."""

    def __missing__(self, message_type: type) -> Read:
        descriptor = message_type.DESCRIPTOR  # type: ignore[attr-defined]  # of all messages
        read = self[message_type] = _PLAIN.get(descriptor.name) or _node_type(descriptor)
        return read


def _unwrapped(message: Any) -> Any:
    which = message.WhichOneof("node")
    return node_of(getattr(message, which)) if which else None


def _listed(message: Any) -> tuple[Any, ...]:
    return tuple(map(node_of, message.items))


_PLAIN: dict[str, Read] = {
    "Node": _unwrapped,
    "List": _listed,
    "String": lambda message: message.sval,
    "Integer": lambda message: message.ival,
    "Float": lambda message: message.fval,
    "Boolean": lambda message: message.boolval,
    "BitString": lambda message: message.bsval,
}
_LEAVES = frozenset(_PLAIN.values())
_readers = _Readers()


class _Field:
    """Read when it is asked for first; many rules ask the same node."""

    def __init__(self, name: str, read: Read) -> None:
        self._name, self._read = name, read

    def __get__(self, node: Node, owner: type[Node]) -> Any:
        value = node.__dict__[self._name] = self._read(node.message)
        return value


def _node_type(descriptor: Any) -> type[Node]:
    names = [name for name in descriptor.fields_by_name if not hasattr(Node, name)]
    fields = {name: _Field(name, _read_field(descriptor, name)) for name in names}
    return type(descriptor.name, (Node,), {**fields, "type": descriptor.name})


def _read_field(descriptor: Any, name: str) -> Read:
    field = descriptor.fields_by_name[name]
    if field.message_type is not None:
        if field.is_repeated:
            return lambda message: tuple(map(node_of, getattr(message, name)))
        return lambda message: node_of(getattr(message, name)) if message.HasField(name) else None
    if field.enum_type is not None:
        names = {number: value.name for number, value in field.enum_type.values_by_number.items()}
        return lambda message: names[getattr(message, name)]
    return lambda message: getattr(message, name)
