"""Chooses the audio track of a recording: by number, language or title, or the one that players take.

Languages and titles come from the file, and are treated as hostile.
"""

import unicodedata
from collections.abc import Sequence
from itertools import islice
from typing import TypeAlias

from whisper.tokenizer import TO_LANGUAGE_CODE

from media.log import LoggedStream
from src.errors import InvalidInput, UnsupportedMedia

TrackName: TypeAlias = int | str
"""A track's number among the audio tracks, from 1; or its language or title."""

_MAX_TITLE_CHARACTERS = 60
_MAX_TRACKS_NAMED = 10

_WHISPER_CODES = {"nb": "no", "fil": "tl"}
"""Whisper's codes of languages that BCP 47 has others for."""


def audio_tracks(streams: Sequence[LoggedStream]) -> list[LoggedStream]:
    """Return the audio tracks in the file's order, each once: ffmpeg lists those of several programs again."""
    found = {stream.index: stream for stream in streams if stream.kind == "Audio"}
    return [found[index] for index in sorted(found)]


def choose_track(tracks: Sequence[LoggedStream], wanted: TrackName | None) -> LoggedStream:
    """Return the wanted track; without a wish the first that is marked as default, else the first.

    Args:
        tracks: from `audio_tracks`.
        wanted: its number, language or title, in this order; of several that match, the first.

    Raises:
        UnsupportedMedia: there is no audio track.
        InvalidInput: there is no such track; the sentence lists those that exist.
    """
    if not tracks:
        raise UnsupportedMedia("the file has no audio track")
    if wanted is None:
        known = [track for track in tracks if track.is_known] or tracks
        return next((track for track in known if track.is_default), known[0])
    matching = _by_number(tracks, wanted) or _by_language(tracks, str(wanted)) or _by_title(tracks, str(wanted))
    if not matching:
        raise InvalidInput(f"audio_track: the recording has no track {wanted!r:.80}, only {_describe(tracks, tracks)}")
    return matching[0]


def other_tracks_warning(tracks: Sequence[LoggedStream], chosen: LoggedStream) -> str | None:
    """Return a sentence that names the tracks beside `chosen`, or None if there are none."""
    others = [track for track in tracks if track is not chosen]
    if not others:
        return None
    # In broadcasting, as in MXF, each channel of a sound is a track: two of them may be left and right of one mix.
    all_mono = "each of one channel, " if all(track.is_mono for track in tracks) else ""
    return (
        f"the recording has {len(tracks)} audio tracks, {all_mono}and only {_describe([chosen], tracks)} was "
        f"transcribed; there {'is' if len(others) == 1 else 'are'} {_describe(others, tracks)}: choose with audio_track"
    )


def _by_number(tracks: Sequence[LoggedStream], wanted: TrackName) -> Sequence[LoggedStream]:
    is_number = isinstance(wanted, int) or (wanted.isascii() and wanted.isdigit() and len(wanted) < 10)
    number = int(wanted) if is_number else 0
    return tracks[number - 1 : number] if number > 0 else []


def _by_language(tracks: Sequence[LoggedStream], wanted: str) -> list[LoggedStream]:
    code = _language_code(wanted)
    return [track for track in tracks if track.language and _language_code(track.language) == code]


def _by_title(tracks: Sequence[LoggedStream], wanted: str) -> list[LoggedStream]:
    """Return the tracks with that title, else those whose titles contain it."""
    title = _clean(wanted).casefold()
    titles = [(track, _clean(track.title).casefold()) for track in tracks]
    same = [track for track, candidate in titles if candidate == title]
    return same or [track for track, candidate in titles if title and title in candidate]


def _language_code(tag: str) -> str:
    """Return the code of a language: `deu`, `ger`, `de-AT` and `German` are `de`."""
    import langcodes  # 0.4 s of tables, needed only to choose among tracks

    spelled = tag.strip().lower().replace("_", "-").partition("-")[0]
    primary: str = TO_LANGUAGE_CODE.get(spelled, spelled)
    try:
        code = str(langcodes.standardize_tag(primary, macro=True))
    except ValueError:  # it is no tag
        return primary
    return _WHISPER_CODES.get(code, code)


def _describe(listed: Sequence[LoggedStream], tracks: Sequence[LoggedStream]) -> str:
    """Return the listed tracks by number, language and title: `track 1 (ger), track 2 (eng, "Commentary")`."""
    names = []
    for track in islice(listed, _MAX_TRACKS_NAMED):
        title = _clean(track.title)
        facts = [fact for fact in (_clean(track.language), f'"{title}"' if title else "") if fact]
        names.append(f"track {tracks.index(track) + 1}" + (f" ({', '.join(facts)})" if facts else ""))
    more = len(listed) - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")


def _clean(text: str) -> str:
    """Return text of the file as one short line without control, format or private characters."""
    printable = "".join(character for character in text if unicodedata.category(character)[0] != "C")
    words = " ".join(printable.split())
    return words if len(words) <= _MAX_TITLE_CHARACTERS else f"{words[: _MAX_TITLE_CHARACTERS - 1]}…"
