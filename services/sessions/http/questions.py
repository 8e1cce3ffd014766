"""The questions of the form, in Attune's own words and with the same substance for both raters.

Published questionnaires are not used, because their texts are copyrighted.
"""

from typing import Any, get_args

from shared.events import Element, Rater, TalkedAbout, Tension

LANGUAGE = "en"
"""The language of the form, and of every page."""
ELEMENTS: tuple[Element, ...] = get_args(Element)
RATINGS = range(11)

STATEMENTS: dict[Rater, dict[Element, str]] = {
    "client": {
        "trust": "I felt safe to open up.",
        "respect": "I was taken seriously as a person.",
        "collaboration": "We worked on things together.",
        "non_judgment": "I could say anything without being judged.",
        "guidance": "The way my therapist guided me and gave me feedback was right for me.",
        "common_aim": "We agreed on what this therapy is for.",
        "commitment": "I want to come and do this work.",
        "fit": "This way of working suits me.",
    },
    "clinician": {
        "trust": "My client felt safe to open up.",
        "respect": "My client was taken seriously as a person.",
        "collaboration": "We worked on things together.",
        "non_judgment": "My client could say anything without being judged.",
        "guidance": "The way I guided my client and gave feedback was right for them.",
        "common_aim": "We agreed on what this therapy is for.",
        "commitment": "My client wants to come and do this work.",
        "fit": "This way of working suits my client.",
    },
}

INTRODUCTION: dict[Rater, str] = {
    "client": "There is no right answer, and a low number is as welcome as a high one. It takes less than a minute.",
    "clinician": "A low number is as useful as a high one. It takes less than a minute.",
}

# The only promise about who sees the answers. tests/contract/test_privacy_notice.py holds it to what is true.
PRIVACY_NOTICE: dict[Rater, str] = {
    "client": (
        "Your answers go to your clinic, so that your therapist can talk with you when something does not feel right. "
        "Your therapist can see them, and so can a therapist with whom you continue later. "
        "Everyone who works with this system at your clinic, or at a clinic that shares it, can see them too, "
        "and so can those who run it."
    ),
    "clinician": (
        "Your answers are set beside your client’s own, because the two views often differ. Your client does not see "
        "them. Everyone who works with this system at your clinic, or at a clinic that shares it, can see them, and so "
        "can those who run it."
    ),
}

TENSION_QUESTION = "Was there a moment of tension or misunderstanding between the two of you in this session?"
TENSION_CHOICES: dict[Tension, str] = {"none": "No", "a_little": "A little", "yes": "Yes"}
TALKED_ABOUT_QUESTION = "If there was: did you talk about it?"
TALKED_ABOUT_CHOICES: dict[TalkedAbout, str] = {"not": "No", "partly": "Partly", "yes": "Yes"}


FORM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        **{element: {"type": "string", "pattern": f"^({'|'.join(map(str, RATINGS))})?$"} for element in ELEMENTS},
        "tension": {"type": "string", "enum": ["", *TENSION_CHOICES]},
        "talked_about": {"type": "string", "enum": ["", *TALKED_ABOUT_CHOICES]},
    },
    "anyOf": [{"required": [element], "properties": {element: {"minLength": 1}}} for element in ELEMENTS],
    "allOf": [
        {
            "anyOf": [
                {"properties": {"talked_about": {"maxLength": 0}}},
                {"required": ["tension"], "properties": {"tension": {"enum": ["a_little", "yes"]}}},
            ]
        }
    ],
}
"""What a form must contain, as JSON Schema. An empty field is one that was left open."""
