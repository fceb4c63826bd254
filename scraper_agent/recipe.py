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


class Download(Strict):
    """Click what starts a download, and keep the file: its table is read like one on a page."""

    do: Literal["download"]
    on: Target
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


class List(Strict):
    """A list, page by page to its end; with `open`, every row's record too."""

    do: Literal["list"]
    name: str
    rows: str = Field(description="CSS of the rows that stand for records.")
    declared: Count | None = Field(None, description="How many there are in all, as the page says.")
    next: Target | None = Field(None, description="To the next page; the last page has it disabled, hidden or not.")
    page: tuple[Step, ...] = Field((), description="On every page of the list, before its rows are opened.")
    open: Annotated[ByLink | ByClick | ByWalk, Field(discriminator="how")] | None = None
    steps: tuple[Step, ...] = Field((), description="On every record.")


Step = Annotated[
    Open | Click | Fill | Select | Wait | Unfold | Snap | Download | Receive | Keep | List, Field(discriminator="do")
]

for _model in (Receive, Keep, ByClick, ByWalk, List):
    _model.model_rebuild()


# --- places on the frozen page --------------------------------------------------------------------------------------


class Read(Strict):
    """Where one value comes from, and how its text becomes a value."""

    label: str | None = Field(None, description="The label beside or above the value, word for word.")
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
    optional: bool = Field(default=False, description="The page may lack the place altogether.")

    @model_validator(mode="after")
    def _one_origin(self) -> Read:
        origins = [
            *(["the page"] if self.label or self.column or self.css or self.json_ or self.url or self.row else []),
            *(["profile"] if self.profile else []),
            *(["source"] if self.source else []),
        ]
        if len(origins) != 1:
            raise Wrong(
                N_("a value has exactly one origin; here: {seen}"),
                hint=N_("label, column, css, json, url, row; or profile; or source with by and take"),
                seen=", ".join(origins) or "-",
            )
        if sum(map(bool, (self.label, self.column, self.json_, self.url, self.row))) > 1:
            raise Wrong(
                N_("give one of label, column, json, url, row"),
                hint=N_("`css` may stand beside label or column as a fallback"),
            )
        if self.json_ and self.css:
            raise Wrong(N_("`json` stands alone: JSON has no places for `css`"))
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
    json_: str | None = Field(
        None, alias="json", description="JSON Pointer of the rows in JSON, `*` in place of an index: `/data/items/*`."
    )
    declared: Count | None = Field(None, description="How many rows there are, as the page says.")

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
    since: Since | None = None
    sources: dict[str, Source] = {}
    steps: tuple[Step, ...]
    document: DocumentRule
