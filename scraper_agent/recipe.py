"""What a recipe may say. A recipe is data: it drives a browser and names places on pages; it cannot run code.

Two kinds of place. A `Target` is found in the living page, to act on. A `Read` is found on the frozen page, to take a
value from; where each value comes from is one of: the page (`label`, `column`, `css`, `url`), the enterprise's
profile (`profile`), or another page of the ERP read once a run (`source`).
"""

from __future__ import annotations

import re
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

from scraper_agent.messages import N_
from scraper_agent.yamlfile import Wrong

Convert: TypeAlias = Literal["text", "integer", "decimal", "date", "code"]

PLACEHOLDER = re.compile(r"\$\{(?:(secret):)?([A-Za-z_][\w.-]*)\}")
"""`${name}` is a parameter, `${secret:name}` a secret."""


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Target(Strict):
    """One element of the living page. Exactly one way to find it; more than one match is an error."""

    label: str | None = Field(None, description="Text of the label of a form field, word for word.")
    role: str | None = Field(None, description="ARIA role, such as `button` or `link`; needs `name`.")
    name: str | None = Field(None, description="Accessible name that goes with `role`, word for word.")
    text: str | None = Field(None, description="Text of the element, word for word.")
    css: str | None = Field(None, description="CSS selector: when nothing else tells the element.")

    @model_validator(mode="after")
    def _one_way(self) -> Target:
        ways = [w for w in ("label", "role", "text", "css") if getattr(self, w) is not None]
        if len(ways) != 1:
            raise Wrong(N_("give exactly one of label, role, text, css; here: {seen}"), seen=", ".join(ways) or "-")
        if (self.role is None) != (self.name is None):
            raise Wrong(N_("`role` and `name` go together"))
        return self


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


Step = Annotated[Open | Click | Fill | Select | Wait | Unfold | Snap | List, Field(discriminator="do")]

for _model in (ByClick, ByWalk, List):
    _model.model_rebuild()


# --- places on the frozen page --------------------------------------------------------------------------------------


class Read(Strict):
    """Where one value comes from, and how its text becomes a value."""

    label: str | None = Field(None, description="The label beside or above the value, word for word.")
    column: str | None = Field(None, description="Header of the table column; for rows only.")
    css: str | None = Field(None, description="CSS selector; alone, or as a fallback for `label` or `column`.")
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
    optional: bool = Field(default=False, description="The page may lack the place altogether.")

    @model_validator(mode="after")
    def _one_origin(self) -> Read:
        origins = [
            *(["the page"] if self.label or self.column or self.css or self.url or self.row else []),
            *(["profile"] if self.profile else []),
            *(["source"] if self.source else []),
        ]
        if len(origins) != 1:
            raise Wrong(
                N_("a value has exactly one origin; here: {seen}"),
                hint=N_("label, column, css, url, row; or profile; or source with by and take"),
                seen=", ".join(origins) or "-",
            )
        if sum(map(bool, (self.label, self.column, self.url, self.row))) > 1:
            raise Wrong(
                N_("give one of label, column, url, row"),
                hint=N_("`css` may stand beside label or column as a fallback"),
            )
        if self.source and not (self.by and self.take):
            raise Wrong(N_("`source` needs `by` (the key) and `take` (which value)"))
        if not self.source and (self.by or self.take):
            raise Wrong(N_("`by` and `take` go with `source`"))
        if not self.css and (self.attribute or self.hidden):
            raise Wrong(N_("`attribute` and `hidden` go with `css`"))
        if self.attribute and (self.label or self.column):
            raise Wrong(N_("`attribute` goes with `css` alone"))
        if self.convert == "code" and not self.lookup:
            raise Wrong(N_("`as: code` needs a `lookup` table"))
        return self


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
    declared: Count | None = Field(None, description="How many rows there are, as the page says.")


class Source(Strict):
    """A page of the ERP that is read once a run; its rows are looked up by key."""

    steps: tuple[Step, ...]
    page: str = Field(description="The snap that holds the rows.")
    rows: Rows | None = Field(None, description="Left out: every page is one row.")
    key: Key
    take: dict[str, Read]


class Lines(Rows):
    values: dict[str, Read] = Field(description="Line fields of the format.")


class DocumentRule(Strict):
    page: str = Field(description="The snap that is one document.")
    within: str | None = Field(None, description="CSS of the part of the page that counts.")
    record: Read = Field(description="What identifies the record in the ERP: becomes `sourceRecordKey`.")
    header: dict[str, Read]
    lines: Lines


class Parameter(Strict):
    type: Literal["text", "integer", "date", "url", "account"] = Field(
        "text", description="`url`: an address of the ERP; `account`: the operator, logged as a digest only."
    )
    default: str | None = None
    title: str = ""


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


class Login(Strict):
    steps: tuple[Step, ...]
    done: Target = Field(description="Visible only when logged in.")
    refused: Target | None = Field(None, description="Visible when the ERP refused the account or password.")
    timeout_s: Annotated[float, Field(gt=0, le=120)] = 20


class Recipe(Strict):
    recipe: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._/-]{0,63}$", description="Becomes `recipeId`.")]
    version: Annotated[str, Field(max_length=20)]
    title: str = ""
    format: str
    erp: Annotated[str, Field(max_length=20, description="Becomes `erpSystemCode`.")]
    language: Annotated[str, Field(pattern=r"^[a-z]{2}(-[A-Z]{2})?$", description="What the browser asks for.")] = (
        "zh-CN"
    )
    parameters: dict[str, Parameter] = {}
    locale: Locale = Locale()
    quiet_ms: Annotated[int, Field(ge=10, le=5000, description="No request and no change for so long = settled.")] = 60
    permits: tuple[Permit, ...] = ()
    lookups: dict[str, str | dict[str, str]] = Field(
        {}, description="Name -> a YAML file beside the recipe, or the table itself: the page's word -> the code."
    )
    login: Login | None = None
    sources: dict[str, Source] = {}
    steps: tuple[Step, ...]
    document: DocumentRule
