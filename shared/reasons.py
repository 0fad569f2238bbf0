"""Why an approver says no, or asks for a correction: the codes, and when each is the right one.

The codes are a promise and never change. What the applicant is told stands where it is mailed.
Source: domain 8.
"""

from collections.abc import Mapping

DENIALS: Mapping[str, str] = {
    "document_missing": "A document that was asked for did not come, or cannot be read.",
    "document_mismatch": "A document does not fit what was typed.",
    "duplicate_organization": "The same organization, at the same place, is registered already.",
    "wrong_path": "The person needs another kind of request, such as an organization's instead of a practitioner's.",
    "ineligible": "The person or organization should not register: not now, or not here.",
    "unknown_person": "You do not know this person.",
    "wrong_group": "The person belongs into another user group.",
    "not_needed": "You know the person, but the role or application is not needed.",
    "role_conflict": "The person holds a role that stands against this one.",
    "suspected_fraud": "You suspect a fraud. The applicant is told only that the request was not confirmed.",
}
RETURNS: Mapping[str, str] = {
    "document_missing": "A document is missing, incomplete, or cannot be read.",
    "document_mismatch": "A document does not fit what was typed: one of the two is to be mended.",
    "data_incomplete": "Something that you need to decide was left out.",
    "data_unclear": "Something was typed that can be understood in two ways, or is probably a slip.",
    "wrong_group": "It is about the wrong user group: let the applicant withdraw it, or change the group's name.",
}
