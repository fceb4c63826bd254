"""A waybill of dangerous goods as the nested JSON of its node identifiers, the `ps` of the exchange.

One document has one message: members in the order of Table 1, no white space, UTF-8, numbers with their decimals. What
is read comes from outside: any JSON spelling is taken, but nothing that the profile does not name.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from scraper_agent.errors import BusinessError
from scraper_agent.format import Document, Field, Value
from scraper_agent.messages import N_
from scraper_agent.rules import Values
from scraper_agent.waybill.profile import DEFAULT, FORMAT, Message

MOST_BYTES = 1 << 20
_SHOWN = 40
"""Characters of a foreign value that an error quotes, and the most that a number has."""


class MessageInvalid(BusinessError):
    """Not a waybill's message; its sender has to make another."""


def write(document: Document, message: Message = DEFAULT.message) -> bytes:
    """The message of a document that passed its checks.

    Raises:
        ValueError: a value is not of its field, or a number has more decimals than are written: it was not checked.
    """
    if document.format != FORMAT.name:
        raise ValueError(f"a document of {document.format} is not one of {FORMAT.name}")
    return _object(_members(document, message)).encode()


def read(data: bytes, message: Message = DEFAULT.message) -> Document:
    """The document in a message, to be checked: text that is no date stays text, for a finding to tell of.

    Raises:
        MessageInvalid: too long, not JSON, a member twice, unknown, of another JSON type or in another place.
    """
    if len(data) > MOST_BYTES:
        raise _unfit("", f"≤ {MOST_BYTES} bytes")
    return _document(_json(data), message)


def _unfit(path: str, expected: str) -> MessageInvalid:
    return MessageInvalid(
        "SA1080",
        N_("the waybill's message cannot be read at `{path}`: expected {expected}"),
        hint=N_("the members are the node identifiers, nested and typed as the profile says"),
        path=path,
        expected=expected,
    )


def _unknown(path: str) -> MessageInvalid:
    return MessageInvalid(
        "SA1082",
        N_("the waybill's message has `{path}`, which the profile does not name there"),
        hint=N_("the members are the node identifiers, nested and typed as the profile says"),
        path=path[:_SHOWN],
    )


# --- writing --------------------------------------------------------------------------------------------------------


def _members(document: Document, message: Message) -> dict[str, str]:
    """Top-level members as JSON; an object stands where its first member does."""
    _refuse_unknown(document.header, FORMAT.header_fields)
    members: dict[str, dict[str, str] | str] = {}
    for id in (*FORMAT.header_fields, message.lines):
        if id == message.lines:
            written = _lines(document, message)
        elif document.header.get(id, "") == "":
            continue
        else:
            written = _written(document.header[id], FORMAT.header_fields[id], message)
        if (above := message.inside.get(id)) is None:
            members[id] = written
        else:
            inner = members.setdefault(above, {})
            assert isinstance(inner, dict)  # noqa: S101 - the profile refuses an object that bears a field's name
            inner[id] = written
    return {id: _object(each) if isinstance(each, dict) else each for id, each in members.items()}


def _lines(document: Document, message: Message) -> str:
    return f"[{','.join(_object(_line_members(line, message)) for line in document.lines)}]"


def _line_members(line: Values, message: Message) -> dict[str, str]:
    _refuse_unknown(line, FORMAT.line_fields)
    return {
        id: _written(line[id], field, message) for id, field in FORMAT.line_fields.items() if line.get(id, "") != ""
    }


def _refuse_unknown(values: Values, known: Mapping[str, Field]) -> None:
    if unknown := values.keys() - known.keys():
        raise ValueError(f"no such field: {', '.join(sorted(unknown))}")


def _object(members: Mapping[str, str]) -> str:
    return "{" + ",".join(f"{json.dumps(id)}:{each}" for id, each in members.items()) + "}"


def _written(value: Value, of: Field, message: Message) -> str:
    if fault := of.type.fault(value):
        raise ValueError(f"{of.id} {fault[0]}: {value!r}")
    decimals = message.numbers.get(of.id)
    if decimals is not None:
        number = Decimal(value) if isinstance(value, str | Decimal) else None
        if number is None or number != number.quantize(Decimal(1).scaleb(-decimals)):
            raise ValueError(f"{of.id} holds a number of {decimals} decimals, not {value!r}")
        return f"{number:.{decimals}f}"
    if isinstance(value, date):
        return json.dumps(_shown(value, message))
    return json.dumps(str(value), ensure_ascii=False)


# --- reading --------------------------------------------------------------------------------------------------------


def _json(data: bytes) -> Any:
    try:
        return json.loads(
            data.decode(),
            object_pairs_hook=_once,
            parse_float=_number,
            parse_int=_number,
            parse_constant=_no_constant,
        )
    except UnicodeDecodeError as error:
        raise _unfit(f"byte {error.start + 1}", "UTF-8") from None
    except json.JSONDecodeError as error:
        raise _unfit(f"{error.lineno}:{error.colno}", "JSON") from None
    except RecursionError:
        raise _unfit("", "JSON") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        ids = [id for id, _ in pairs]
        raise MessageInvalid(
            "SA1083",
            N_("the waybill's message has `{path}` twice"),
            hint=N_("two readers could each take another of them: its sender has to decide"),
            path=next(id for place, id in enumerate(ids) if id in ids[:place])[:_SHOWN],
        )
    return members


def _number(text: str) -> Decimal:
    if len(text) > _SHOWN:
        raise _unfit(f"{text[:_SHOWN]}…", "Number")
    return Decimal(text)


def _no_constant(text: str) -> None:
    raise _unfit(text, "Number")


def _document(top: Any, message: Message) -> Document:
    values = dict(_flat(top, message))
    lines = values.pop(message.lines, [])
    if not isinstance(lines, list):
        raise _unfit(message.lines, "Array")
    return Document(
        format=FORMAT.name,
        header={
            id: _value(_path(id, message), value, FORMAT.header_fields[id], message) for id, value in values.items()
        },
        lines=tuple(_line(f"{message.lines}[{count}]", line, message) for count, line in enumerate(lines, start=1)),
    )


def _flat(top: Any, message: Message) -> Iterator[tuple[str, Any]]:
    """Members and values, the objects of the profile opened."""
    if not isinstance(top, dict):
        raise _unfit("", "Object")
    for id, value in top.items():
        if id in message.inside.values():
            if not isinstance(value, dict):
                raise _unfit(id, "Object")
            for inner, each in value.items():
                if message.inside.get(inner) != id:
                    raise _unknown(f"{id}.{inner}")
                yield inner, each
        elif id in message.inside or (id not in FORMAT.header_fields and id != message.lines):
            raise _unknown(id)
        else:
            yield id, value


def _path(id: str, message: Message) -> str:
    return f"{message.inside[id]}.{id}" if id in message.inside else id


def _line(path: str, line: Any, message: Message) -> Values:
    if not isinstance(line, dict):
        raise _unfit(path, "Object")
    for id in line:
        if id not in FORMAT.line_fields:
            raise _unknown(f"{path}.{id}")
    return {id: _value(f"{path}.{id}", each, FORMAT.line_fields[id], message) for id, each in line.items()}


def _value(path: str, value: Any, of: Field, message: Message) -> Value:
    if of.id in message.numbers:
        if not isinstance(value, Decimal):
            raise _unfit(path, "Number")
        return value if of.type.holds == "number" else str(value)
    if not isinstance(value, str):
        raise _unfit(path, "String")
    return _date(value, message) if of.type.holds == "date" else value


def _date(text: str, message: Message) -> Value:
    """The date of the one spelling that is agreed on; other text as it is."""
    try:
        read = date.fromisoformat(text)
    except ValueError:
        return text
    return read if _shown(read, message) == text else text


def _shown(value: date, message: Message) -> str:
    return value.isoformat() if message.dates == "YYYY-MM-DD" else value.isoformat().replace("-", "")
