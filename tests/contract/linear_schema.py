"""Linear's GraphQL schema, read back from the types of its own JavaScript library.

The library carries the types that were generated from the schema, and not the schema itself. What
the calls of an adapter reach is turned back; a name that stands for no object becomes a scalar.
"""

import re

from graphql import GraphQLSchema, build_schema

_TYPE = re.compile(r"^(?:export )?type (\w+) = (?:\w+ & )*\{\n(.*?)^\};", re.MULTILINE | re.DOTALL)
_FIELD = re.compile(r"^  (\w+)(\?)?: (.+);$", re.MULTILINE)
_SCALAR = re.compile(r'Scalars\["(\w+)"\]')
_WRAPPED = re.compile(r"^(Maybe|InputMaybe|Array)<(.+)>$")
BUILT_IN = {"String", "Int", "Float", "Boolean", "ID"}


class Types:
    """The object types of a TypeScript declaration file."""

    def __init__(self, declarations: str) -> None:
        self.fields = {
            name: {field: (kind, bool(mark)) for field, mark, kind in _FIELD.findall(body)}
            for name, body in _TYPE.findall(declarations)
        }

    def schema(self, queries: list[str], mutations: list[str]) -> GraphQLSchema:
        """The schema of these root fields and all that they lead to."""
        made: dict[str, str] = {}
        scalars: set[str] = set()
        todo = [("Query", False, queries), ("Mutation", False, mutations)]
        while todo:
            name, is_input, only = todo.pop()
            if name in made or name in BUILT_IN:
                continue
            if name not in self.fields:
                scalars.add(name)
                continue
            made[name] = self._type(name, is_input, only, todo)
        lines = [f"scalar {name}" for name in sorted(scalars)]
        return build_schema("\n".join([*lines, *made.values()]))

    def _type(
        self, name: str, is_input: bool, only: list[str], todo: list[tuple[str, bool, list[str]]]
    ) -> str:
        lines = []
        for field, (kind, optional) in self.fields[name].items():
            if field == "__typename" or (only and field not in only):
                continue
            told = "" if is_input else self._arguments(name, field, todo)
            lines.append(f"  {field}{told}: {self._kind(kind, optional, is_input, todo)}")
        return f"{'input' if is_input else 'type'} {name} {{\n" + "\n".join(lines) + "\n}"

    def _arguments(self, name: str, field: str, todo: list[tuple[str, bool, list[str]]]) -> str:
        arguments = self.fields.get(f"{name}{field[:1].upper()}{field[1:]}Args", {})
        told = [f"{a}: {self._kind(k, o, True, todo)}" for a, (k, o) in arguments.items()]
        return f"({', '.join(told)})" if told else ""

    def _kind(
        self, kind: str, optional: bool, is_input: bool, todo: list[tuple[str, bool, list[str]]]
    ) -> str:
        wrapped = _WRAPPED.match(kind)
        if wrapped and wrapped[1] != "Array":
            return self._kind(wrapped[2], True, is_input, todo)
        if wrapped:
            inner = f"[{self._kind(wrapped[2], False, is_input, todo)}]"
        else:
            inner = _SCALAR.sub(r"\1", kind)
            inner = inner if re.fullmatch(r"\w+", inner) else "JSON"
            todo.append((inner, is_input, []))
        return inner if optional else f"{inner}!"
