"""From plain values to the XML of an answer: closures compiled once per operation from the service's model.

Each closure appends pieces of text to one list, which is joined at the end. The rules are Smithy's (awsQuery,
ec2Query); a value that does not fit the model is a mistake in the handler and raises `KeyError` or `TypeError`,
with the way to it in the notes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from threading import Lock
from typing import Any

from cumulet.wire.models import Model, Ref, Shape
from cumulet.wire.scalars import SPECIAL, WRITERS, escape, escape_name, write_whole_time

Writer = Callable[[Any, list[str]], None]

_VERSION = re.compile(r"20\d\d-[01]\d-[0-3]\d")
_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'


def render(model: Model, operation: str, result: dict[str, Any] | None, request_id: str, *, version: str = "") -> bytes:
    """The body of the answer to an operation that went well; EC2's in the namespace of the API `version` asked for.

    `result` has the model's names of members; a member that is None is left out, an empty list is an empty element.
    EC2's `<return>true</return>` is there by itself, where the operation has it and `result` does not say otherwise.
    """
    out = [_HEAD]
    _compiler(model).operation(operation)(result or {}, request_id, out)
    if model.metadata.protocol == "ec2" and _VERSION.fullmatch(version):
        out[1] = out[1].replace(f"/{model.metadata.api_version}/", f"/{version}/", 1)
    return "".join(out).encode()


def render_error(
    protocol: str, code: str, message: str, request_id: str, *, status: int = 400, namespace: str = ""
) -> bytes:
    """The body of an answer that refuses: the form of `ec2` or `rest-xml`, else that of the query protocol.

    The query protocol's is in the model's namespace, `namespace`.
    """
    text = f"<Code>{escape(code)}</Code><Message>{escape(message)}</Message>"
    if protocol == "ec2":
        error = f"<Errors><Error>{text}</Error></Errors><RequestID>{escape(request_id)}</RequestID>"
        return f"{_HEAD}<Response>{error}</Response>".encode()
    if protocol == "rest-xml":
        return f"{_HEAD}<Error>{text}<RequestId>{escape(request_id)}</RequestId></Error>".encode()
    fault = "Receiver" if status >= 500 else "Sender"
    error = f"<Error><Type>{fault}</Type>{text}</Error><RequestId>{escape(request_id)}</RequestId>"
    return f"{_HEAD}<ErrorResponse{_xmlns(namespace)}>{error}</ErrorResponse>".encode()


def _xmlns(namespace: str) -> str:
    return f' xmlns="{escape(namespace)}"' if namespace else ""


def render_inside(model: Model, shape: str, value: dict[str, Any], out: list[str], *, names: bool = False) -> None:
    """Append what is inside the element of a structure, for a service whose root elements are written elsewhere.

    `names`: texts are names, of which nothing may be lost (`escape_name`).
    """
    _compiler(model, escape_name if names else escape).inside(shape)(value, out)


@cache
def _compiler(model: Model, escaped: Callable[[str], str] = escape) -> _Compiler:
    return _Compiler(model, escaped)


Body = Callable[[dict[str, Any], str, list[str]], None]


class _Compiler:
    """Makes the closures of one model, each when it is first needed."""

    def __init__(self, model: Model, escaped: Callable[[str], str]) -> None:
        self.model = model
        self.escaped = escaped
        self.ec2 = model.metadata.protocol == "ec2"
        self.operations: dict[str, Body] = {}
        self.writers: dict[str, Writer] = {}
        self.insides: dict[str, Writer] = {}
        self.lock = Lock()
        whole = model.metadata.protocol == "query"
        self.scalars = {**WRITERS, "timestamp": write_whole_time} if whole else WRITERS

    def inside(self, shape: str) -> Writer:
        """Writes what is in a structure's element."""
        found = self.insides.get(shape)
        if found is None:
            with self.lock:
                found = self.insides[shape] = self._content(shape)
        return found

    def operation(self, name: str) -> Body:
        found = self.operations.get(name)
        if found is None:
            with self.lock:  # a half-compiled shape that holds itself must not be seen
                found = self.operations[name] = self._ec2_body(name) if self.ec2 else self._query_body(name)
        return found

    def _ec2_body(self, name: str) -> Body:
        namespace = self.model.metadata.xml_namespace.rstrip("/") + "/"  # AWS has the slash, the model has not
        start, end = f"<{name}Response{_xmlns(namespace)}><requestId>", f"</{name}Response>"
        write = self._inside(self.model.output(name))
        confirmed = self._says_return(name)

        def body(result: dict[str, Any], request_id: str, out: list[str]) -> None:
            out.append(f"{start}{escape(request_id)}</requestId>")
            write(result, out)
            if confirmed and result.get("Return") is None:
                out.append("<return>true</return>")
            out.append(end)

        return body

    def _says_return(self, name: str) -> bool:
        """EC2 answers `<return>true</return>` where the model has no output, or has this member in it."""
        if not self.model.operation(name).output:
            return True
        ref = self.model.output(name).members.get("Return")
        return ref is not None and self.model.shape(ref.shape).type == "boolean"

    def _query_body(self, name: str) -> Body:
        output = self.model.operation(name).output
        wrapper = output.result_wrapper if output else ""
        write = self._inside(self.model.output(name))
        start, end = f"<{name}Response{_xmlns(self.model.metadata.xml_namespace)}>", f"</{name}Response>"

        def body(result: dict[str, Any], request_id: str, out: list[str]) -> None:
            out.append(f"{start}<{wrapper}>" if wrapper else start)
            write(result, out)
            if wrapper:
                out.append(f"</{wrapper}>")
            out.append(f"<ResponseMetadata><RequestId>{escape(request_id)}</RequestId></ResponseMetadata>{end}")

        return body

    def _inside(self, shape: Shape) -> Writer:
        """Writes the members of a structure, without an element around them."""
        members = {name: self._element(self._member_tag(name, ref), ref) for name, ref in shape.members.items()}

        def structure(value: dict[str, Any], out: list[str]) -> None:
            for name, member in value.items():
                if member is None:
                    continue
                try:
                    members[name](member, out)
                except (KeyError, TypeError, ValueError, AttributeError) as e:
                    e.add_note(f"in {name}")
                    raise

        return structure

    def _member_tag(self, name: str, ref: Ref) -> str:
        shape = self.model.shape(ref.shape)
        if shape.type == "list" and shape.member and (ref.flattened or shape.flattened):
            return shape.member.location_name or ref.location_name or name
        return ref.location_name or name

    def _element(self, tag: str, ref: Ref) -> Writer:
        """Writes a value as an element, or a flattened list or map as several."""
        shape = self.model.shape(ref.shape)
        if shape.type == "string":
            return _text_element(tag, self.escaped)
        if shape.type in self.scalars:
            return _scalar_element(tag, self.scalars[shape.type])
        if (ref.flattened or shape.flattened) and shape.type == "list":
            assert shape.member
            return _each(self._element(tag, shape.member))
        if (ref.flattened or shape.flattened) and shape.type == "map":
            return self._entries(tag, shape)
        attribute = next((name for name, inner in shape.members.items() if inner.xml_attribute), None)
        if attribute is not None:
            return _with_attribute(tag, attribute, shape.members[attribute].location_name, self._content(ref.shape))
        return _around(tag, self._content(ref.shape))

    def _content(self, name: str) -> Writer:
        """Writes what is in the element of a structure, list or map; made once per shape."""
        if name not in self.writers:
            self.writers[name] = lambda value, out: self.writers[name](value, out)  # for a shape that holds itself
            self.writers[name] = self._content_of(self.model.shape(name))
        return self.writers[name]

    def _content_of(self, shape: Shape) -> Writer:
        if shape.type == "structure":
            return self._inside(shape)
        if shape.type == "map":
            return self._entries("entry", shape)
        assert shape.member
        default = "item" if self.ec2 else "member"
        return _each(self._element(shape.member.location_name or default, shape.member))

    def _entries(self, tag: str, shape: Shape) -> Writer:
        assert shape.key
        assert shape.value
        key = self._element(shape.key.location_name or "key", shape.key)
        value = self._element(shape.value.location_name or "value", shape.value)

        def entries(pairs: dict[str, Any], out: list[str]) -> None:
            for name, item in pairs.items():
                out.append(f"<{tag}>")
                key(name, out)
                value(item, out)
                out.append(f"</{tag}>")

        return entries


def _text_element(tag: str, escaped: Callable[[str], str]) -> Writer:
    start, end = f"<{tag}>", f"</{tag}>"

    def element(value: str, out: list[str]) -> None:
        out.append(f"{start}{escaped(value) if SPECIAL(value) else value}{end}")

    return element


def _scalar_element(tag: str, text: Callable[[Any], str]) -> Writer:
    start, end = f"<{tag}>", f"</{tag}>"

    def element(value: Any, out: list[str]) -> None:
        out.append(f"{start}{text(value)}{end}")

    return element


def _around(tag: str, content: Writer) -> Writer:
    start, end, empty = f"<{tag}>", f"</{tag}>", f"<{tag}/>"

    def element(value: Any, out: list[str]) -> None:
        if value:
            out.append(start)
            content(value, out)
            out.append(end)
        else:
            out.append(empty)

    return element


def _with_attribute(tag: str, member: str, attribute: str, content: Writer) -> Writer:
    """A structure of which one member is an attribute of its element: S3's `<Grantee xsi:type="CanonicalUser">`."""
    names = ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"' if attribute.startswith("xsi:") else ""

    def element(value: Any, out: list[str]) -> None:
        out.append(f'<{tag}{names} {attribute}="{escape(value[member])}">')
        content({name: inner for name, inner in value.items() if name != member}, out)
        out.append(f"</{tag}>")

    return element


def _each(element: Writer) -> Writer:
    def elements(values: list[Any], out: list[str]) -> None:
        for value in values:
            element(value, out)

    return elements
