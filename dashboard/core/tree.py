"""The parser's tree, easy to read: attributes are strings, numbers, tuples and nodes, never wrappers."""

from collections.abc import Callable, Iterator
from typing import Any

Read = Callable[[Any], Any]
Prune = Callable[["Node", str], bool]

_names: dict[type, str] = {}  # a message's own DESCRIPTOR is slow to ask, and bulk INSERTs have millions of nodes
_readers: dict[tuple[str, str], Read] = {}


class Node:
    """One node of the parse tree, a thin view over the parser's message; its fields are its attributes.

    Names are libpg_query's, in snake case: `drop.remove_type == "OBJECT_TABLE"`, `delete.where_clause`. A missing node
    is None, an enumeration its name, a list a tuple; lists, names, integers and booleans come as plain values.
    `location` counts bytes from the start of the text that was parsed; most whole statements have none.
    """

    type: str = ""  # of one that is being copied

    def __init__(self, message: Any) -> None:
        self.message = message
        self.type = _names.get(type(message)) or _name_of(message)

    def __getattr__(self, name: str) -> Any:
        reader = _readers.get((self.type, name))
        if reader is None:
            if name.startswith("__"):
                raise AttributeError(name)
            reader = _readers[self.type, name] = _make_reader(self.message.DESCRIPTOR, name)
        value = self.__dict__[name] = reader(self.message)  # many rules ask the same node
        return value

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
    name = _names.get(type(message)) or _name_of(message)
    if name == "Node":
        which = message.WhichOneof("node")
        return node_of(getattr(message, which)) if which else None
    plain = _PLAIN.get(name)
    return plain(message) if plain else Node(message)


def walk(root: Node, prune: Prune | None = None) -> Iterator[Node]:
    """Every node below `root` and itself, in the order of the tree (not recursive: depth does not matter).

    `prune(node, field)` leaves out what hangs on that field.
    """
    stack = [root.message]
    while stack:
        message = stack.pop()
        name = _names.get(type(message)) or _name_of(message)
        if name == "Node":
            which = message.WhichOneof("node")
            if which:
                stack.append(getattr(message, which))
        elif name == "List":
            stack.extend(reversed(message.items))
        elif name not in _LEAVES:
            node = Node(message)
            yield node
            if name not in _CHILDLESS:
                stack.extend(reversed(_children(node, prune)))


def find(root: Node, *types: str) -> Iterator[Node]:
    """The nodes of these types below `root`, itself included."""
    return (node for node in walk(root) if node.type in types)


def first_location(root: Node) -> int | None:
    """The smallest byte offset that a node below `root` knows; None where none does."""
    places = [place for node in walk(root) if (place := node.get("location")) is not None and place >= 0]
    # The parser writes no location as 0 as well as -1, so 0 counts only where nothing else is known.
    return min((place for place in places if place), default=0 if places else None)


def _name_of(message: Any) -> str:
    name = _names[type(message)] = str(message.DESCRIPTOR.name)
    return name


def _children(node: Node, prune: Prune | None) -> list[Any]:
    found: list[Any] = []
    for field, value in node.message.ListFields():
        if field.message_type is None or (prune is not None and prune(node, field.name)):
            continue
        if field.is_repeated:
            found += value
        else:
            found.append(value)
    return found


def _make_reader(descriptor: Any, name: str) -> Read:
    field = descriptor.fields_by_name.get(name)
    if field is None:
        raise AttributeError(f"{descriptor.name} has no field {name}")  # noqa: TRY003  # a programmer's mistake
    if field.message_type is not None:
        if field.is_repeated:
            return lambda message: tuple(node_of(inner) for inner in getattr(message, name))
        return lambda message: node_of(getattr(message, name)) if message.HasField(name) else None
    if field.enum_type is not None:
        names = {number: value.name for number, value in field.enum_type.values_by_number.items()}
        return lambda message: names[getattr(message, name)]
    return lambda message: getattr(message, name)


_LEAVES = frozenset({"String", "Integer", "Float", "Boolean", "BitString"})
_CHILDLESS = frozenset({"A_Const", "A_Star", "ParamRef"})
_PLAIN: dict[str, Read] = {
    "String": lambda message: message.sval,
    "Integer": lambda message: message.ival,
    "Float": lambda message: message.fval,
    "Boolean": lambda message: message.boolval,
    "BitString": lambda message: message.bsval,
    "List": lambda message: tuple(node_of(inner) for inner in message.items),
}
