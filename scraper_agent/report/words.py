"""The report's own words, by the names that its template and its view call them."""

from __future__ import annotations

from collections.abc import Mapping

from scraper_agent import messages
from scraper_agent.messages import N_

WORDS: Mapping[str, str] = {
    # The tag of the language that the catalogue is in; it also decides which name of a field comes first.
    "lang": N_("en"),
    "title": N_("Customs robot: report"),
    "made": N_("made {when}, Beijing time"),
    "dry_run": N_("dry run: nothing was signed or sent"),
    # The tiles
    "documents": N_("Documents"),
    "need_person": N_("Need a person"),
    "receipted_tile": N_("Accepted by the receiver"),
    "pages_refused": N_("Pages refused"),
    "lists_complete": N_("Lists read completely"),
    "log_whole": N_("Log: whole"),
    "log_damaged": N_("Log: {count} problem(s)"),
    "log_unchecked": N_("Log: not checked"),
    "of": N_("{part} of {all}"),
    "entries": N_("{count} entries"),
    # What ran
    "runs": N_("What ran"),
    "recipe": N_("Recipe"),
    "started": N_("Started"),
    "ended": N_("Ended"),
    "parameters": N_("Parameters"),
    "outcome": N_("Outcome"),
    "complete": N_("complete"),
    "incomplete": N_("incomplete"),
    "not_ended": N_("did not end: it was killed, or is still running"),
    "waits": N_("waits for a person"),
    "resumed": N_("taken up again {count} time(s) after a kill"),
    "run_found": N_("{documents} documents, {faults} pages refused, {pages} pages kept"),
    "real_run": N_("real run"),
    "dry": N_("dry run"),
    "recipe_digest": N_("Digest of the recipe"),
    "policy_digest": N_("Digest of the policy"),
    "started_by": N_("Started by (SM3 of the account)"),
    "agent": N_("Program"),
    "run_id": N_("Run"),
    "details": N_("Details for the auditor"),
    # Counts
    "counts": N_("How far the documents came"),
    "format": N_("Format"),
    "read": N_("read"),
    "blocked": N_("blocked"),
    "held": N_("held"),
    "passed": N_("passed"),
    "declined": N_("declined"),
    "approved": N_("approved"),
    "sent": N_("sent"),
    "on_the_way": N_("on the way"),
    "receipted": N_("accepted"),
    "rejected": N_("rejected"),
    "stopped": N_("stopped"),
    "signed": N_("signed"),
    "unknown": N_("no answer yet"),
    "waiting": N_("to be resent"),
    "total": N_("Total"),
    "counts_note": N_(
        "Approved and sent count every document that came that far; the other columns say where it stands now."
    ),
    # Lists and log
    "lists": N_("Completeness of the lists"),
    "list": N_("List"),
    "declared": N_("Declared by the page"),
    "harvested": N_("Read"),
    "list_pages": N_("Pages"),
    "list_short": N_("the page declares {declared}, but {harvested} were read"),
    "list_proved": N_("✓ proved"),
    "list_plausible": N_("plausible"),
    "list_unproved": N_("✗ unproved"),
    "list_silent": N_("the page states no number"),
    "no_lists": N_("No list was read to its end."),
    "log_head": N_("Check of the log"),
    "log_ok": N_("Every entry was hashed again, and all {count} agree with the tree."),
    "log_bad": N_(
        "The log or its bodies do not agree with the tree. Do not rely on this report before that is settled."
    ),
    "log_none": N_("The log was not checked for this report. `scraper-agent log verify` does it."),
    "root": N_("Root of the tree (SM3)"),
    # What needs attention
    "attention": N_("What needs attention first"),
    "nothing": N_("Nothing waits for a person: no document is blocked, held, rejected or without an answer."),
    "do_blocked": N_("Correct these in the ERP and run again; nothing of them leaves before."),
    "do_held": N_("Look at each and say yes or no; nothing of them leaves before."),
    "do_rejected": N_("The receiver does not take these. Its reason stands beside each."),
    "do_unknown": N_("These may have arrived. Run again to ask the receiver, or ask there yourself."),
    "do_stopped": N_("These will not be sent. The reason stands beside each."),
    "do_faults": N_("These pages could not be read, and no document was made of them."),
    "finding_error": N_("blocks"),
    "finding_warning": N_("warning"),
    "line": N_("line {number}"),
    "hint": N_("hint: "),
    "page_shown": N_("The page as it was shown"),
    "unshown": N_("What this report could not show"),
    # Documents
    "all_documents": N_("Every document"),
    "search": N_("search by number, name, amount"),
    "every": N_("all"),
    "none_match": N_("No document matches."),
    "key": N_("Number"),
    "state": N_("State"),
    "counterparty": N_("Other party"),
    "amount": N_("Amount"),
    "lines": N_("Lines"),
    "held_because": N_("Held because: {reasons}"),
    "header": N_("Header"),
    "header_program": N_("Header given by the program and the enterprise's profile ({count} fields)"),
    "history": N_("What happened, in order"),
    "evidence": N_("Evidence"),
    "raw_document": N_(
        "The document does not fit the format as the program knows it now. These are its bytes as they were kept."
    ),
    "missing": N_("missing"),
    "no_script": N_("Where each value was read is shown by a script in this file, which your browser does not run."),
    # Facts
    "fact_read": N_("Read from the page"),
    "fact_checked": N_("Checked: {errors} error(s), {warnings} warning(s)"),
    "fact_approved": N_("Approved by {by}: {reason}"),
    "fact_declined": N_("Declined by {by}: {reason}"),
    "fact_signed": N_("Signed with key {key_index}"),
    "fact_attempt": N_("Sending, attempt {number}"),
    "fact_retry": N_("Attempt {number} brought no receipt and is to be repeated: {reason}"),
    "fact_accepted": N_("Accepted by the receiver; receipt number {remote_id}"),
    "fact_rejected": N_("Rejected by the receiver: {message}"),
    "fact_failed_sign": N_("Stopped before signing: {message}"),
    "fact_failed_send": N_("Stopped before sending: {message}"),
    "the_policy": N_("the policy"),
    "job": N_("Job"),
    "record": N_("Record in the ERP"),
    "document_digest": N_("Digest of the document"),
    "page_digest": N_("Digest of the page"),
    "provenance_digest": N_("Digest of the origins"),
    "envelope_digest": N_("Digest of the envelope"),
    "receipt_digest": N_("Digest of the receipt"),
    "key_index": N_("Index of the key"),
    "profile": N_("Profile of the envelope"),
    "receipt_number": N_("Receipt number"),
    "receipt_message": N_("Message of the receiver"),
    "approved_by": N_("Decided by"),
    "approval_reason": N_("Reason"),
    # Origins: these are shown by the script
    "point": N_("Point at a value to see where it was read; click to keep it."),
    "raw": N_("On the page"),
    "target": N_("Found by"),
    "steps": N_("Made into the value by"),
    "frame": N_("Frame"),
    "actual_size": N_("actual size"),
    "whole_width": N_("whole width"),
    "no_page": N_("This value comes from the enterprise's profile, not from a page."),
    "no_box": N_("This value has no place of its own on the image."),
    # Pages
    "images": N_("Images of the pages"),
    "images_note": N_("Each is the page as the browser showed it, as a JPEG."),
    "image_left_out": N_("The image is not in this file, but in the archive: {image}."),
    "image_none": N_("No image of this page was taken."),
    "image_unknown": N_("The page is not among those of its run."),
    "image_strange": N_("The image {image} is no JPEG and is not shown."),
    # Refused requests
    "refused": N_("Requests the guard did not let through"),
    "refused_none": N_("The pages tried nothing but to read."),
    "refused_note": N_("The robot has query rights alone: whatever else a page tries is stopped before it leaves."),
    "method": N_("Method"),
    "url": N_("Address"),
    "reason": N_("Reason"),
    "times": N_("Times"),
}


def say(name: str, **values: object) -> str:
    """One of `WORDS` in the chosen language."""
    return messages.render(WORDS[name], values)


def chinese() -> bool:
    return say("lang").startswith("zh")
