"""EBU-TT-D (EBU Tech 3380), the profile of TTML for the distribution of subtitles; also a document of IMSC 1. Pure."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

from transcript.checks import Check, checked, never
from transcript.formats.cues import RIGHT_TO_LEFT, Cue, label, line_text
from transcript.formats.srt_vtt_tsv import format_timestamp

NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters not allowed in XML 1.0 (section 2.2)."""

_LANGUAGE_TAGS = {"jw": "jv"}
"""BCP 47's tags where Whisper's codes differ."""

# A line of 42 columns fits into a picture of 16:9: at 80% of a cell's height, a letter takes some 2% of the width.
_DOCUMENT = """\
<?xml version="1.0" encoding="UTF-8"?>
<tt xmlns="http://www.w3.org/ns/ttml" xmlns:ttp="http://www.w3.org/ns/ttml#parameter" \
xmlns:tts="http://www.w3.org/ns/ttml#styling" xmlns:ebuttm="urn:ebu:tt:metadata" xmlns:ebutts="urn:ebu:tt:style" \
ttp:timeBase="media" ttp:cellResolution="32 15" xml:lang="{language}">
  <head>
    <metadata>
      <ebuttm:documentMetadata>
        <ebuttm:conformsToStandard>urn:ebu:tt:distribution:2018-04</ebuttm:conformsToStandard>
        <ebuttm:conformsToStandard>http://www.w3.org/ns/ttml/profile/imsc1/text</ebuttm:conformsToStandard>
      </ebuttm:documentMetadata>
    </metadata>
    <styling>
      <style xml:id="subtitle" tts:fontFamily="proportionalSansSerif" tts:fontSize="80%" tts:lineHeight="125%" \
tts:textAlign="center"{direction} ebutts:linePadding="0.5c"/>
      <style xml:id="text" tts:color="#FFFFFF" tts:backgroundColor="#000000C0"/>
    </styling>
    <layout>
      <region xml:id="bottom" tts:origin="5% 5%" tts:extent="90% 90%" tts:displayAlign="after"/>
    </layout>
  </head>
{body}</tt>
"""

_BODY = """\
  <body>
    <div style="subtitle">
{subtitles}    </div>
  </body>
"""


def to_ttml(cues: Sequence[Cue], language: str, check: Check = never) -> str:
    """Return EBU-TT-D, with times from the start of the recording; without cues, it has no body.

    Args:
        cues: in order of their start.
        language: Whisper's code of the text's language.
        check: ends the work by an exception.
    """
    subtitles = "".join(_subtitle(number, cue) for number, cue in enumerate(checked(cues, check), start=1))
    return _DOCUMENT.format(
        language=_LANGUAGE_TAGS.get(language, language),
        direction=' tts:direction="rtl" tts:unicodeBidi="embed"' if language in RIGHT_TO_LEFT else "",
        body=_BODY.format(subtitles=subtitles) if cues else "",
    )


def _subtitle(number: int, cue: Cue) -> str:
    """Return a cue as a paragraph on a line of its own, which `client/merge` reads."""
    times = f'begin="{format_timestamp(cue.start, ".")}" end="{format_timestamp(cue.end, ".")}"'
    first, *others = (_escape(line_text(line)) for line in cue.lines)
    text = "<br/>".join([_escape(label(cue)) + first, *others])
    return f'      <p xml:id="s{number}" region="bottom" {times}><span style="text">{text}</span></p>\n'


def _escape(text: str) -> str:
    """Return `text` as XML, on one line."""
    return html.escape(NOT_XML.sub("\ufffd", " ".join(text.splitlines())), quote=False)
