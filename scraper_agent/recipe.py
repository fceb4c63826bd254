"""What a recipe may say. A recipe is data: it drives a browser and names places on pages; it cannot run code.

Two kinds of place. A `Target` is found in the living page, to act on. A `Read` is found on the frozen page, to take a
value from; where each value comes from is one of: the page (`label`, `column`, `css`, `url` …), the enterprise's
profile (`profile`), or another page of the ERP read once a run (`source`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Literal, TypeAlias, assert_never

from pydantic import BaseModel, ConfigDict, Field, model_validator

from scraper_agent.messages import N_
from scraper_agent.yamlfile import Wrong

Convert: TypeAlias = Literal["text", "integer", "decimal", "date", "code"]

NumberStyle: TypeAlias = Literal[
    "infer", "1,234.50", "1.234,50", "1 234,50", "1 234.50", "1'234.50", "1'234,50"
]  # fmt: skip
DateOrder: TypeAlias = Literal["infer", "day-first", "month-first", "year-first"]

PLACEHOLDER = re.compile(r"\$\{(?:(secret):)?([A-Za-z_][\w.-]*)\}")
"""`${name}` is a parameter, `${secret:name}` a secret."""


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


# --- where on the page ----------------------------------------------------------------------------------------------


class InFrame(Strict):
    """A frame that is shown, at any depth."""

    frame: str = Field(description="Its name or id, word for word; with `*`: the path of its address.")


Part: TypeAlias = Literal["dialog", "tab", "popup"] | InFrame
"""`dialog`: the topmost one; `tab`: the one tab whose content shows; `popup`: the newest window the page opened."""

Where: TypeAlias = Part | tuple[Part, ...]


def chain(where: Where | None) -> tuple[Part, ...]:
    """From the outside in; empty for the page itself."""
    return () if where is None else where if isinstance(where, tuple) else (where,)


class Target(Strict):
    """One element of the living page. Exactly one way to find it; more than one match is an error."""

    label: str | None = Field(None, description="Text of the label of a form field, word for word.")
    role: str | None = Field(None, description="ARIA role, such as `button` or `link`; needs `name`.")
    name: str | None = Field(None, description="Accessible name that goes with `role`, word for word.")
    text: str | None = Field(None, description="Text of the element, word for word.")
    id: str | None = Field(None, description="Its `id`.")
    css: str | None = Field(None, description="CSS selector: when nothing else tells the element.")
    any_of: tuple[Target, ...] = Field((), description="Alternatives, in order: the first that shows is meant.")
    in_: Where | None = Field(None, alias="in", description="Frames, popup, dialog or tab it is in, from the outside.")

    @model_validator(mode="after")
    def _one_way(self) -> Target:
        ways = [w for w in ("label", "role", "text", "id", "css", "any_of") if getattr(self, w) not in (None, ())]
        if len(ways) != 1:
            raise Wrong(
                N_("give exactly one of label, role, text, id, css, any_of; here: {seen}"), seen=", ".join(ways) or "-"
            )
        if (self.role is None) != (self.name is None):
            raise Wrong(N_("`role` and `name` go together"))
        return self


ALTHOUGH = (
    "What the element reads, word for word, where that sounds like writing and you vouch that it only leads somewhere."
)


# --- steps ----------------------------------------------------------------------------------------------------------


class Open(Strict):
    """Go to an address."""

    do: Literal["open"]
    url: str = Field(description="Absolute address; `${parameter}` is filled in.")


class Click(Strict):
    """Click an element. Elements that read Save, Submit, Delete … are refused."""

    do: Literal["click"]
    on: Target
    double: bool = False
    although: str | None = Field(None, description=ALTHOUGH)


class Fill(Strict):
    """Type into a form field; the only step that may use `${secret:name}`."""

    do: Literal["fill"]
    into: Target
    text: str


class Select(Strict):
    """Choose an option of a drop-down list by its text."""

    do: Literal["select"]
    into: Target
    option: str


class Wait(Strict):
    """Wait until an element is visible."""

    do: Literal["wait"]
    until: Target
    timeout_s: Annotated[float, Field(gt=0, le=120)] = 15


class Count(Strict):
    """A number that the page itself states, such as 共 60 条 or 5/60."""

    css: str
    pattern: Annotated[str, Field(description="Regular expression with one group: the number.")] = r"(\d+)"
    attribute: str | None = Field(None, description="Read this attribute instead of the text, such as aria-rowcount.")
    minus: Annotated[int, Field(ge=0, description="How much of the number is no row, such as header rows.")] = 0


class Unfold(Strict):
    """Press a `more` button until every row is on the page: as many as declared, or until the button is gone."""

    do: Literal["unfold"]
    button: Target
    rows: str | None = Field(None, description="CSS of the rows; with `declared`.")
    declared: Count | None = Field(None, description="How many rows there are in all, as the page says.")
    timeout_s: Annotated[float, Field(gt=0, le=300)] = 30

    @model_validator(mode="after")
    def _both(self) -> Unfold:
        if (self.rows is None) != (self.declared is None):
            raise Wrong(N_("`rows` and `declared` go together"))
        return self


class Snap(Strict):
    """Freeze the page: markup, values and geometry, and an image."""

    do: Literal["snap"]
    name: str = Field(description="What `document.page` and `sources` call this page.")
    in_: Literal["popup"] | None = Field(None, alias="in", description="`popup`: the newest window the page opened.")


class Close(Strict):
    """Close the newest window that the page opened."""

    do: Literal["close"]


class Inside(Strict):
    """Steps for which a frame or popup is the page: lists and `unfold` within it, too. It is found again at each."""

    do: Literal["inside"]
    in_: Where = Field(alias="in", description="Frames or popup, from the outside.")
    steps: tuple[Step, ...]

    @model_validator(mode="after")
    def _pages_only(self) -> Inside:
        if any(part in ("dialog", "tab") for part in chain(self.in_)):
            raise Wrong(
                N_("`inside` goes into frames and popups"), hint=N_("`dialog` and `tab` stand in the `in` of a target")
            )
        return self


# --- flow -----------------------------------------------------------------------------------------------------------


class Use(Strict):
    """The steps of one of `flows`, its parameters given."""

    do: Literal["use"]
    flow: str
    with_: dict[str, str] = Field({}, alias="with", description="Parameter of the flow -> its text.")


class When(Strict):
    """Steps for one case only. The page has come to rest before it is looked at; nothing is waited for."""

    do: Literal["when"]
    shown: Target | None = Field(None, description="The case: this shows.")
    absent: Target | None = Field(None, description="The case: this does not show.")
    parameter: str | None = Field(None, description="The case: this parameter equals `is`.")
    is_: str | None = Field(None, alias="is")
    steps: tuple[Step, ...]
    otherwise: tuple[Step, ...] = ()

    @model_validator(mode="after")
    def _one_case(self) -> When:
        cases = [c for c in ("shown", "absent", "parameter") if getattr(self, c) is not None]
        if len(cases) != 1:
            raise Wrong(N_("give exactly one of shown, absent, parameter; here: {seen}"), seen=", ".join(cases) or "-")
        if (self.parameter is None) != (self.is_ is None):
            raise Wrong(N_("`parameter` and `is` go together"))
        return self


class ForEach(Strict):
    """Steps once for each of some texts, which `${name}` stands for."""

    do: Literal["for_each"]
    name: Annotated[str, Field(pattern=r"^[A-Za-z_][\w-]*$")]
    values: tuple[str, ...] = ()
    parameter: str | None = Field(None, description="A parameter that holds the texts, with commas between them.")
    options_of: Target | None = Field(None, description="A drop-down list: the texts of its options.")
    except_: tuple[str, ...] = Field((), alias="except", description="Options left out, word for word.")
    steps: tuple[Step, ...]

    @model_validator(mode="after")
    def _one_list(self) -> ForEach:
        ways = [w for w in ("values", "parameter", "options_of") if getattr(self, w) not in (None, ())]
        if len(ways) != 1:
            raise Wrong(
                N_("give exactly one of values, parameter, options_of; here: {seen}"), seen=", ".join(ways) or "-"
            )
        if self.except_ and self.options_of is None:
            raise Wrong(N_("`except` goes with `options_of`"))
        return self


class Optional(Strict):
    """Steps that end without a fault where a target does not show in time; every other fault stays one."""

    do: Literal["optional"]
    timeout_s: Annotated[float, Field(gt=0, le=30)] = 2
    steps: tuple[Step, ...]


class Retry(Strict):
    """Steps that are begun again if they fail; what a failed attempt saw does not count."""

    do: Literal["retry"]
    times: Annotated[int, Field(ge=2, le=5, description="Attempts in all.")] = 3
    steps: tuple[Step, ...]


class Download(Strict):
    """Click what starts a download, and keep the file: its table is read like one on a page."""

    do: Literal["download"]
    on: Target
    although: str | None = Field(None, description=ALTHOUGH)
    name: str = Field(description="What `document.page` and `sources` call the file's table.")
    media: Annotated[tuple[Literal["xlsx", "xls", "html", "csv"], ...], Field(min_length=1)] = Field(
        description="What the file may be, by its bytes; the name it bears says nothing."
    )
    sheet: str | None = Field(None, description="Name of the sheet; of HTML, number of the table.")
    header: Annotated[int, Field(ge=1, le=1000, description="The row with the headers, counted from 1.")] = 1
    header_rows: Annotated[int, Field(ge=1, le=5, description="How many rows the headers take.")] = 1
    encoding: Literal["utf-8", "gb18030", "utf-16"] | None = Field(
        None, description="Of text that does not tell by itself."
    )
    delimiter: Literal[",", ";", "|", "\t"] | None = Field(None, description="Of CSV that does not tell by itself.")
    timeout_s: Annotated[float, Field(gt=0, le=600)] = 60


class Receive(Strict):
    """Run steps, and keep the JSON that the page itself receives meanwhile. The robot asks for nothing by itself."""

    do: Literal["receive"]
    name: str = Field(description="What `document.page` and `sources` call it.")
    path: str = Field(description="Regular expression for the whole path; with `?` and the query, if there is one.")
    steps: tuple[Step, ...]
    every: bool = Field(default=False, description="Keep each of several answers; else there must be exactly one.")
    timeout_s: Annotated[float, Field(gt=0, le=300)] = 20


class Keep(Strict):
    """Run steps, and keep the PDF that shows or is downloaded meanwhile, for the document that follows."""

    do: Literal["keep"]
    name: str
    steps: tuple[Step, ...]
    timeout_s: Annotated[float, Field(gt=0, le=300)] = 30


class ByLink(Strict):
    """Every row's link is collected from all pages of the list; then each address is opened."""

    how: Literal["link"]
    target: str = Field(description="CSS of the link, within the row.")


class ByClick(Strict):
    """Every row is clicked, read, and left by `back`; the list must then show the same rows again."""

    how: Literal["click"]
    target: str = Field(description="CSS of what is clicked, within the row.")
    double: bool = False
    back: tuple[Step, ...]


class ByWalk(Strict):
    """The first row is opened, then `next` goes from record to record while `position` proves it."""

    how: Literal["walk"]
    target: str = Field(description="CSS of what is clicked in the first row.")
    double: bool = False
    next: Target
    position: Count = Field(description="The place of the record shown, counted from 1 in this page of the list.")
    back: tuple[Step, ...] = Field(description="From the last record of a page back to the list.")


class Mark(Strict):
    """What tells the row, or the column, that a part of a grid belongs to: the same mark, the same row or column."""

    attribute: str | None = Field(None, description="An attribute of it, such as row-index, aria-colindex or class.")
    pattern: str | None = Field(None, description="Regular expression with one group: the part that counts.")
    position: bool = Field(default=False, description="Its place among those beside it, counted from 1.")

    @model_validator(mode="after")
    def _one_way(self) -> Mark:
        if (self.attribute is not None) == self.position:
            raise Wrong(N_("give either `attribute` or `position`"))
        return self


class Grid(Strict):
    """A grid that keeps only what is in view: it is scrolled through, and its cells are gathered into one table.

    The frozen page holds that table as `table[frozen-list=NAME]`.
    """

    down: str = Field(description="CSS of what scrolls up and down.")
    across: str | None = Field(None, description="CSS of what scrolls sideways; left out: every column is there.")
    cells: str = Field(description="CSS of the cells, within the row.")
    heads: str = Field(description="CSS of the headers of single columns.")
    column: Mark = Field(description="Of a cell and of a header alike; a header may bear it on an element around it.")
    head: Mark | None = Field(None, description="Where a header tells its column by another attribute than a cell.")
    row: Mark | None = Field(None, description="Left out: the list's `key` tells the rows.")


class Total(Strict):
    """A total that the page states, against the sum of its rows."""

    cell: str = Field(description="CSS of the amount, within the row; in a grid the header of its column.")
    stated: str = Field(description="CSS of the total on the page.")


class Filtered(Strict):
    """A filter field that must still read as it was set when the list has been read."""

    field: Target
    reads: str = Field(description="What it must read; `${parameter}` is filled in.")


class List(Strict):
    """A list, page by page to its end; with `open`, every row's record too. It ends with a certificate.

    Proved needs `declared`, a `key` (or links) and a second look: by `recount`, or by itself for a list on one page.
    """

    do: Literal["list"]
    name: str
    rows: str = Field(description="CSS of the rows that stand for records.")
    key: str | None = Field(None, description="CSS within the row of what no two have alike; in a grid its header.")
    declared: Count | None = Field(None, description="How many there are in all, as the page says.")
    next: Target | None = Field(None, description="To the next page; the last page has it disabled, hidden or not.")
    numbered: str | None = Field(None, description="CSS of the numbers of pages; the next higher one is clicked.")
    more: Target | None = Field(None, description="A button that brings more rows, until it is disabled or gone.")
    scroll: str | None = Field(None, description="CSS of what is scrolled down until no more rows come.")
    busy: str | None = Field(None, description="CSS of what is shown while rows are being loaded.")
    page_size: Target | None = Field(None, description="A drop-down list of page sizes: the largest is chosen.")
    grid: Grid | None = None
    totals: tuple[Total, ...] = ()
    filters: tuple[Filtered, ...] = ()
    recount: tuple[Step, ...] | None = Field(
        None, description="Steps back to the first page of the list, whose keys are then read a second time."
    )
    page: tuple[Step, ...] = Field((), description="On every page of the list, before its rows are opened.")
    open: Annotated[ByLink | ByClick | ByWalk, Field(discriminator="how")] | None = None
    steps: tuple[Step, ...] = Field((), description="On every record.")

    @model_validator(mode="after")
    def _one_way(self) -> List:
        for ways in (("next", "numbered"), ("more", "scroll", "grid")):
            seen = [way for way in ways if getattr(self, way) is not None]
            if len(seen) > 1:
                raise Wrong(N_("give only one of {seen}"), seen=", ".join(seen))
        if self.grid is not None and self.grid.row is None and self.key is None:
            raise Wrong(N_("a grid needs `row`, or the list's `key`: else its rows cannot be told apart"))
        if self.grid is not None and isinstance(self.open, ByClick | ByWalk):
            raise Wrong(N_("rows of a grid can only be opened by link"))
        return self


Step = Annotated[
    Open
    | Click
    | Fill
    | Select
    | Wait
    | Unfold
    | Snap
    | Download
    | Receive
    | Keep
    | List
    | Close
    | Inside
    | Use
    | When
    | ForEach
    | Optional
    | Retry,
    Field(discriminator="do"),
]

for _model in (Receive, Keep, ByClick, ByWalk, List, Inside, When, ForEach, Optional, Retry):
    _model.model_rebuild()


def blocks(step: Step) -> tuple[tuple[str | int, ...], ...]:
    """Where in `step` other steps stand, as keys of the file: every walk over steps goes by this."""
    match step:
        case List(open=how):
            back = (("open", "back"),) if isinstance(how, ByClick | ByWalk) else ()
            return (("page",), *back, ("steps",))
        case When():
            return (("steps",), ("otherwise",))
        case Inside() | ForEach() | Optional() | Retry() | Receive() | Keep():
            return (("steps",),)
        case Open() | Click() | Fill() | Select() | Wait() | Unfold() | Snap() | Download() | Close() | Use():
            return ()
        case unknown:
            assert_never(unknown)


def within(step: Step, block: tuple[str | int, ...]) -> tuple[Step, ...]:
    """The steps of one of its `blocks`."""
    found: object = step
    for key in block:
        found = getattr(found, str(key))
    return found  # type: ignore[return-value] # `blocks` names fields that hold steps


def every(steps: tuple[Step, ...]) -> Iterator[Step]:
    """Every step, those within others too; not those of flows that it uses."""
    for step in steps:
        yield step
        for block in blocks(step):
            yield from every(within(step, block))


# --- places on the frozen page --------------------------------------------------------------------------------------


class Read(Strict):
    """Where one value comes from, and how its text becomes a value."""

    label: str | None = Field(None, description="The label beside or above the value, word for word.")
    right_of: str | None = Field(None, description="A text of the page: what stands nearest to the right of it.")
    left_of: str | None = Field(None, description="What stands nearest to the left of this text.")
    above: str | None = Field(None, description="What stands nearest above this text.")
    below: str | None = Field(None, description="What stands nearest below this text.")
    role: str | None = Field(None, description="ARIA role; needs `name`.")
    name: str | None = Field(None, description="Accessible name that goes with `role`, word for word.")
    id: str | None = Field(None, description="The element's `id`.")
    any_of: tuple[Read, ...] = Field((), description="Alternatives, in order: the first whose place is on the page.")
    in_section: str | None = Field(None, description="Only in the section under this heading, legend or panel title.")
    in_: Where | None = Field(
        None, alias="in", description="Only in this frame, dialog or tab; a list: one in another."
    )
    column: str | None = Field(None, description="Header of the table column; for rows only.")
    css: str | None = Field(None, description="CSS selector; alone, or as a fallback for `label` or `column`.")
    json_: str | None = Field(
        None,
        alias="json",
        description="JSON Pointer of the value; in rows of JSON, from the row on: `qty`, `unit/code`.",
    )
    url: bool = Field(default=False, description="Read from the page's own address; needs `pattern`.")
    row: bool = Field(default=False, description="The number of the row in its table, counted from 1; for rows only.")
    per: str | None = Field(None, description="With `row`: counted anew where the text of this column changes.")
    page: str | None = Field(None, description="Another snap of the same record, taken before that of the document.")
    profile: str | None = Field(None, description="A value of the enterprise's profile in the config.")
    source: str | None = Field(None, description="Name of a source; with `by` and `take`.")
    by: Key | None = Field(None, description="The key to look up in the source; a list where one place is not enough.")
    take: str | None = Field(None, description="Which value of the source's row.")
    attribute: str | None = Field(None, description="Read this attribute instead of the text; with `css` alone.")
    hidden: bool = Field(default=False, description="Also read what the page holds but does not show.")
    pattern: str | None = Field(None, description="Regular expression with one group: the part of the text to keep.")
    convert: Convert | None = Field(None, alias="as", description="Default: what the format's type asks for.")
    lookup: str | None = Field(None, description="Name of a lookup table, from the page's words to codes.")
    date: str | None = Field(None, description="Overrides `locale.date` for this value.")
    numbers: NumberStyle | None = Field(None, description="Overrides the recipe's `numbers` for this value.")
    dates: DateOrder | None = Field(None, description="Overrides the recipe's `dates` for this value.")
    optional: bool = Field(default=False, description="The page may lack the place altogether.")

    @model_validator(mode="after")
    def _one_origin(self) -> Read:  # noqa: C901 - one sentence for each mistake
        origins = [
            *(["the page"] if self.ways or self.css else []),
            *(["profile"] if self.profile else []),
            *(["source"] if self.source else []),
        ]
        if len(origins) != 1:
            raise Wrong(
                N_("a value has exactly one origin; here: {seen}"),
                hint=N_("label, column, css, json, url, row and so on; or profile; or source with by and take"),
                seen=", ".join(origins) or "-",
            )
        if len(self.ways) > 1:
            raise Wrong(
                N_("give one way to find the place; here: {seen}"),
                hint=N_("`css` may stand beside it as a fallback; `any_of` holds alternatives"),
                seen=", ".join(self.ways),
            )
        if self.json_ and self.css:
            raise Wrong(N_("`json` stands alone: JSON has no places for `css`"))
        if (self.role is None) != (self.name is None):
            raise Wrong(N_("`role` and `name` go together"))
        if "popup" in chain(self.in_):
            raise Wrong(N_("a popup is a page of its own"), hint=N_("snap it by itself, with `in: popup`"))
        self._of_the_page()
        if self.source and not (self.by and self.take):
            raise Wrong(N_("`source` needs `by` (the key) and `take` (which value)"))
        if not self.source and (self.by or self.take):
            raise Wrong(N_("`by` and `take` go with `source`"))
        if not self.css and (self.attribute or self.hidden):
            raise Wrong(N_("`attribute` and `hidden` go with `css`"))
        if self.attribute and self.ways:
            raise Wrong(N_("`attribute` goes with `css` alone"))
        if self.date and self.dates:
            raise Wrong(N_("give `date` (a notation) or `dates` (an order)"))
        if self.convert == "code" and not self.lookup:
            raise Wrong(N_("`as: code` needs a `lookup` table"))
        return self

    def _of_the_page(self) -> None:
        if any(not (alternative.ways or alternative.css) or alternative.page for alternative in self.any_of):
            raise Wrong(N_("every alternative of `any_of` is a place on the same page"))
        if (self.in_ is not None or self.in_section is not None) and not (set(self.ways) - {"url", "row"} or self.css):
            raise Wrong(N_("`in` and `in_section` go with a place on the page"))

    @property
    def ways(self) -> tuple[str, ...]:
        """The keys that say how the place is found, without `css`."""
        keys = ("label", *RELATIONS, "role", "id", "any_of", "column", "json_", "url", "row")
        return tuple(key.rstrip("_") for key in keys if getattr(self, key))


RELATIONS: tuple[Literal["right_of", "left_of", "above", "below"], ...] = ("right_of", "left_of", "above", "below")

Key: TypeAlias = Read | tuple[Read, ...]
Read.model_rebuild()


def parts(key: Key) -> tuple[Read, ...]:
    """The places that make up a key."""
    return key if isinstance(key, tuple) else (key,)


class Rows(Strict):
    """The rows of one table on the frozen page."""

    table: str | None = Field(None, description="CSS of the table; default: the only one with all named columns.")
    rows: str = Field("tbody tr", description="CSS of the rows, within the table.")
    skip: str | None = Field(None, description="CSS of rows that are no records, such as totals.")
    json_: str | None = Field(
        None, alias="json", description="JSON Pointer of the rows in JSON, `*` in place of an index: `/data/items/*`."
    )
    declared: Count | None = Field(None, description="How many rows there are, as the page says.")
    in_: Where | None = Field(
        None, alias="in", description="Only in this frame, dialog or tab; a list: one in another."
    )
    totals: Literal["leave out", "keep"] = Field(
        "leave out", description="Rows that begin with 合计, 小计, Total … and are proved by blanks or by their sums."
    )

    @model_validator(mode="after")
    def _on_the_page(self) -> Rows:
        if "popup" in chain(self.in_):
            raise Wrong(N_("a popup is a page of its own"), hint=N_("snap it by itself, with `in: popup`"))
        return self

    @model_validator(mode="after")
    def _one_kind(self) -> Rows:
        if self.json_ is not None and (self.table or self.skip or self.rows != "tbody tr"):
            raise Wrong(N_("`json` names the rows; `table`, `rows` and `skip` are for tables"))
        return self


class Source(Strict):
    """A page of the ERP that is read once a run; its rows are looked up by key."""

    steps: tuple[Step, ...]
    page: str = Field(description="The snap that holds the rows.")
    rows: Rows | None = Field(None, description="Left out: every page is one row.")
    key: Key
    take: dict[str, Read]


class Lines(Rows):
    page: str | None = Field(None, description="Another snap or file of the same record, if that holds the rows.")
    values: dict[str, Read] = Field(description="Line fields of the format.")


class Twin(Strict):
    """The same document from another source, such as an export beside the page: what differs blocks it."""

    page: str = Field(description="Another snap or file of the same record, taken before that of the document.")
    header: dict[str, Read] = {}
    lines: Lines | None = None
    match: str | None = Field(None, description="The line field that tells which lines are the same; default: order.")


class DocumentRule(Strict):
    page: str = Field(description="The snap that is one document.")
    within: str | None = Field(None, description="CSS of the part of the page that counts.")
    in_: Where | None = Field(None, alias="in", description="The frame, dialog or tab that counts; `within` is in it.")
    record: Read = Field(description="What identifies the record in the ERP: becomes `sourceRecordKey`.")
    header: dict[str, Read]
    lines: Lines
    twin: Twin | None = None


class Parameter(Strict):
    type: Literal["text", "integer", "date", "url", "account"] = Field(
        "text", description="`url`: an address of the ERP; `account`: the operator, logged as a digest only."
    )
    default: str | None = None
    title: str = ""


class Flow(Strict):
    """Steps with a name, for `use`. Their `${...}` are the flow's parameters and the recipe's own."""

    parameters: dict[str, Parameter] = {}
    steps: tuple[Step, ...]


class Locale(Strict):
    """How the ERP writes numbers and dates. What does not fit is refused, never guessed."""

    decimal: Literal[".", ","] = "."
    group: Literal["", ",", ".", " ", "'"] = ""
    date: str = Field("YYYY-MM-DD", description="YYYY, MM, DD and separators; M or D where zeros are left out.")

    @model_validator(mode="after")
    def _told_apart(self) -> Locale:
        if self.decimal == self.group:
            raise Wrong(N_("`{seen}` cannot stand both before decimals and between thousands"), seen=self.group)
        return self


class Permit(Strict):
    """A request beside GET and HEAD that reading needs. Whatever is not named here is refused and logged.

    `stub` answers in the server's place: for what the page sends by itself and reading does not need.
    """

    purpose: Literal["login", "query", "stub"]
    method: Literal["POST"] = "POST"
    path: str = Field(description="Regular expression for the whole path; with `?` and the query, if there is one.")
    json_: dict[str, str] = Field({}, alias="json", description="Keys of the JSON body and a regular expression each.")
    form: tuple[str, ...] = Field((), description="The only keys a form body may have.")
    answer: str | None = Field(None, description="For `stub`: the JSON body of the answer; `$id` is the request's id.")

    @model_validator(mode="after")
    def _one_body(self) -> Permit:
        if self.json_ and self.form:
            raise Wrong(N_("a body is either `json` or `form`"))
        if self.answer is not None and self.purpose != "stub":
            raise Wrong(N_("`answer` goes with `purpose: stub`"))
        return self


class Since(Strict):
    """Reading only what is new since the last complete run, and a few days before it once more."""

    parameter: str = Field(description="A parameter of type date by which `steps` narrow the list; needs a default.")
    field: str = Field(description="The header field with the date that the list is narrowed by.")
    look_back_days: Annotated[int, Field(ge=0, le=3650)] = 7


LogOutStep = Annotated[Open | Click | Wait, Field(discriminator="do")]


class Apart(Strict):
    """A session elsewhere that must have ended first, in the same browser. Only this check asks for its address."""

    name: Annotated[str, Field(pattern=r"^[\w-]{1,40}$", description="What the log and messages call it.")]
    url: str = Field(description="The page that shows whether it is logged in; a parameter of type url of its own.")
    logged_in: Target = Field(description="Shows only when logged in, such as 退出.")
    logged_out: Target = Field(description="Shows only when logged out, such as 登录. If both or neither show: stop.")
    log_out: tuple[LogOutStep, ...] = Field(description="From that page; it is then opened and looked at again.")
    attempts: Annotated[int, Field(ge=1, le=3, description="How often it is logged out at most.")] = 2
    timeout_s: Annotated[float, Field(gt=0, le=120, description="For the page, and for what it has to show.")] = 15


class Account(Strict):
    """Whether it is the right account that is logged in."""

    at: Target = Field(description="Where the page shows the account once logged in.")
    reads: str = Field(description="What must stand there, word for word; `${parameter}` is filled in.")
    log_out: tuple[LogOutStep, ...] = Field(
        (), description="Another account is logged out by these, and `steps` carried out once more; none: stop."
    )


class Ready(Strict):
    """A page between the login and the work that must be operable, such as 选择角色."""

    shown: Target = Field(description="Shows on this page alone.")
    press: Target = Field(description="Enabled, and clicked.")
    leads_to: Target = Field(description="Shows where the click has led.")
    timeout_s: Annotated[float, Field(gt=0, le=120, description="For each of the three.")] = 15


class Login(Strict):
    """How one logs in, and what shows where that fails: whichever of these shows stops the run, and a person is told.

    After `wrong_password` and `locked_out` nobody logs in with this account until a person has cleared it.
    """

    steps: tuple[Step, ...]
    done: Target = Field(description="Visible only when logged in.")
    wrong_password: Target | None = Field(None, description="Visible when the ERP refused the account or password.")
    locked_out: Target | None = Field(None, description="Visible when the ERP has locked the account.")
    password_expired: Target | None = Field(None, description="Visible when the ERP wants a new password first.")
    second_factor: Target | None = Field(None, description="Visible when the ERP asks for a code by SMS, app or key.")
    captcha: Target | None = Field(None, description="Visible when the ERP asks whether this is a person.")
    timeout_s: Annotated[float, Field(gt=0, le=120)] = 20
    account: Account | None = None
    ready: Ready | None = None


def apart_names(recipe: Recipe) -> frozenset[str]:
    """Parameters that are addresses of sessions elsewhere."""
    urls = [
        url
        for apart in recipe.apart
        for url in (apart.url, *(step.url for step in apart.log_out if isinstance(step, Open)))
    ]
    return frozenset(name for url in urls for kind, name in PLACEHOLDER.findall(url) if not kind)


class Session(Strict):
    """How a session that has ended shows. The login is then made once more, and reading goes on at the same record."""

    alive: Target | None = Field(None, description="Visible on every page while logged in.")
    expired: Target | None = Field(None, description="Visible when no longer logged in, such as the login's form.")
    kicked_out: Target | None = Field(
        None, description="Visible when the account was logged in elsewhere: the run stops and does not log in again."
    )
    page: str | None = Field(
        None, description="Address that only a session shows, to try a kept one; `${parameter}` is filled in."
    )

    @model_validator(mode="after")
    def _probe(self) -> Session:
        if self.alive is None and self.expired is None:
            raise Wrong(N_("give `alive`, `expired` or both: else the end of a session is not seen"))
        return self


Version: TypeAlias = Annotated[str, Field(pattern=r"^\d{1,9}(\.\d{1,9}){0,5}$")]


def version_parts(version: str) -> tuple[int, ...]:
    """`7.0.12` as (7, 0, 12, 0, 0, 0): to compare."""
    numbers = [int(part) for part in version.split(".")]
    return (*numbers, *[0] * (6 - len(numbers)))


class ErpVersions(Strict):
    """Which versions of the ERP the recipe was tried on. A run against another one ends at its first page."""

    from_: Version | None = Field(None, alias="from", description="The first one, such as 7.0.")
    before: Version | None = Field(None, description="The first one that is too new, such as 8.")
    shown: Read = Field(description="Where a page shows it; `optional` if not every page does.")

    @model_validator(mode="after")
    def _a_range(self) -> ErpVersions:
        if self.from_ is None and self.before is None:
            raise Wrong(N_("give `from`, `before` or both"))
        if self.from_ and self.before and version_parts(self.from_) >= version_parts(self.before):
            raise Wrong(N_("`from` is not before `before`"))
        if self.shown.source or self.shown.profile or self.shown.column or self.shown.row or self.shown.page:
            raise Wrong(N_("the version stands on the page: `shown` has label, css or url"))
        return self

    def allows(self, seen: str) -> bool:
        if re.fullmatch(r"\d{1,9}(\.\d{1,9}){0,5}", seen, re.ASCII) is None:
            return False
        parts = version_parts(seen)
        return (self.from_ is None or version_parts(self.from_) <= parts) and (
            self.before is None or parts < version_parts(self.before)
        )

    def __str__(self) -> str:
        return ", ".join(
            f"{sign}{version}" for sign, version in ((">=", self.from_), ("<", self.before)) if version is not None
        )


class Recipe(Strict):
    extends: str | None = Field(None, description="A recipe's name, or a file: only what differs from it stands here.")
    recipe: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._/-]{0,63}$", description="Becomes `recipeId`.")]
    version: Annotated[str, Field(max_length=20)]
    title: str = ""
    format: str
    erp: Annotated[str, Field(max_length=20, description="Becomes `erpSystemCode`.")]
    erp_versions: ErpVersions | None = None
    language: Annotated[str, Field(pattern=r"^[a-z]{2}(-[A-Z]{2})?$", description="What the browser asks for.")] = (
        "zh-CN"
    )
    parameters: dict[str, Parameter] = {}
    locale: Locale = Locale()
    numbers: NumberStyle | None = Field(
        None, description="How numbers are written; default: as `locale` says, and without one inferred per document."
    )
    dates: DateOrder | None = Field(
        None, description="What comes first in dates; default: as `locale` says, and without one inferred per document."
    )
    quiet_ms: Annotated[int, Field(ge=10, le=5000, description="No request and no change for so long = settled.")] = 60
    settle: Literal["ui5", "adf", "odoo", "frappe", "sao"] | None = Field(
        None, description="The page's own framework is asked, too, whether it has come to rest."
    )
    permits: tuple[Permit, ...] = ()
    refuses: tuple[str, ...] = Field(
        (), description="Regular expressions of paths with their queries that are never asked for, however permitted."
    )
    lookups: dict[str, str | dict[str, str]] = Field(
        {}, description="Name -> a YAML file beside the recipe, or the table itself: the page's word -> the code."
    )
    apart: tuple[Apart, ...] = Field((), description="Sessions elsewhere that must have ended before the login.")
    login: Login | None = None
    session: Session | None = None
    since: Since | None = None
    flows: dict[str, Flow] = Field({}, description="Name -> steps that `use` carries out.")
    sources: dict[str, Source] = {}
    steps: tuple[Step, ...]
    finally_: tuple[Step, ...] = Field(
        (), alias="finally", description="Carried out at the end in any case once logged in, such as the logout."
    )
    document: DocumentRule
