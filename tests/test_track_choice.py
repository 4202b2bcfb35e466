"""The choice of an audio track, from the facts in ffmpeg's log."""

from __future__ import annotations

import pytest

from media.log import LoggedStream
from src.audio.tracks import TrackName, audio_tracks, choose_track, other_tracks_warning
from src.errors import InvalidInput, UnsupportedMedia


def stream(
    index: int, language: str = "", title: str = "", *, codec: str = "aac", default: bool = False
) -> LoggedStream:
    return LoggedStream(index, "Audio", codec, " (default)" if default else "", language, title)


PLAIN = [stream(0), stream(1), stream(2)]
MONO = [LoggedStream(at, "Audio", "pcm_s24le", ", 48000 Hz, mono, s32 (24 bit), 1152 kb/s") for at in range(2)]
SECOND_IS_DEFAULT = [stream(0), stream(1, default=True), stream(2, default=True)]
UNKNOWN_CODEC_FIRST = [stream(0, codec="none", default=True), stream(1), stream(2)]
NO_KNOWN_CODEC = [stream(0, codec="none"), stream(1, codec="unknown")]
NAMED = [
    stream(0, "ger", "Deutsch 5.1"),
    stream(1, "eng", "Director's comments"),
    stream(2, "eng", "Original"),
    stream(3, "de-AT", "2"),
    stream(4, "chi", "eng"),
]


@pytest.mark.parametrize(
    ("tracks", "wanted", "index"),
    [
        (PLAIN, None, 0),
        (SECOND_IS_DEFAULT, None, 1),
        (UNKNOWN_CODEC_FIRST, None, 1),
        (NO_KNOWN_CODEC, None, 0),
        (UNKNOWN_CODEC_FIRST, 1, 0),
        (PLAIN, 3, 2),
        (PLAIN, "3", 2),
        (NAMED, "2", 1),
        (NAMED, "ger", 0),
        (NAMED, "deu", 0),
        (NAMED, "de", 0),
        (NAMED, "German", 0),
        (NAMED, "de_DE", 0),
        (NAMED, "en", 1),
        (NAMED, "english", 1),
        (NAMED, "eng", 1),
        (NAMED, "zho", 4),
        (NAMED, "Mandarin", 4),
        (NAMED, "original", 2),
        (NAMED, "  ORIGINAL ", 2),
        (NAMED, "comments", 1),
        (NAMED, "Deutsch 5.1", 0),
    ],
)
def test_the_track_is_chosen(tracks: list[LoggedStream], wanted: TrackName | None, index: int) -> None:
    assert choose_track(tracks, wanted).index == index


@pytest.mark.parametrize("wanted", [6, 0, -1, "0", "fra", "French", "4th", "\x1b", "²"])
def test_a_track_that_is_not_there_is_refused(wanted: TrackName) -> None:
    with pytest.raises(InvalidInput, match=r"no track .* only track 1 \(ger, "):
        choose_track(NAMED, wanted)


def test_a_file_without_audio_is_refused() -> None:
    with pytest.raises(UnsupportedMedia, match="no audio track"):
        choose_track([], None)


def test_streams_of_several_programs_are_one_track_each() -> None:
    video = LoggedStream(0, "Video", "h264", "")
    assert [track.index for track in audio_tracks([stream(2), video, stream(1), stream(2)])] == [1, 2]


@pytest.mark.parametrize(
    ("tracks", "warning"),
    [
        (PLAIN[:1], None),
        (
            NAMED[:2],
            'the recording has 2 audio tracks, and only track 1 (ger, "Deutsch 5.1") was transcribed; there is track 2 '
            '(eng, "Director\'s comments"): choose with audio_track',
        ),
        (
            PLAIN,
            "the recording has 3 audio tracks, and only track 1 was transcribed; there are track 2, track 3: choose "
            "with audio_track",
        ),
        (
            MONO,
            "the recording has 2 audio tracks, each of one channel, and only track 1 was transcribed; there is track "
            "2: choose with audio_track",
        ),
    ],
)
def test_other_tracks_are_named(tracks: list[LoggedStream], warning: str | None) -> None:
    assert other_tracks_warning(tracks, tracks[0]) == warning


def test_a_hostile_file_cannot_make_the_warning_long_or_break_it() -> None:
    tracks = [stream(index, "x" * 1000, "a\n\u202e\x00" * 1000) for index in range(900)]
    warning = other_tracks_warning(tracks, tracks[0])
    assert warning is not None
    assert warning.isprintable()
    assert "track 11 (" in warning
    assert "track 12" not in warning
    assert "and 889 more" in warning
    assert len(warning) < 2000
