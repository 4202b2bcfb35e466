"""`src.audio.decode` with real media, made here by ffmpeg, and with hostile files."""

import io
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import ffmpeg
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.log import FfmpegLog
from media.sandbox import MAX_MEMORY, FfmpegMissing, ProcessLimits, ffmpeg_executable
from src.audio.decode import MAX_CHANNELS, MAX_MIXED_CHANNELS, DecodedAudio, decode_audio, decode_recording
from src.audio.decoding_run import AudioOptions
from src.audio.ffmpeg_process import compile_command
from src.audio.pcm import SAMPLE_RATE
from src.errors import InvalidInput, TooLarge, UnsupportedMedia, WorkerError
from tests.support.media import encode, main_frequency, sine, write_wav
from tests.support.mp4 import RATE, SCALE, Mp4Track, mp4
from tests.support.peak_memory import peak_of_programs
from tests.support.properties import examples

pytestmark = pytest.mark.process

NO_OPTIONS = AudioOptions()

TONE = 440.0  # Hz
SECONDS = 8.0

VIDEO = ["-f", "lavfi", "-i", "testsrc=size=64x64:rate=25:duration=10"]  # longer than the audio beside it

WHOLE = {
    "wav": "a.wav",
    "wav, 8 kHz stereo": "-ar 8000 -ac 2 a.wav",
    "wav, float": "-c:a pcm_f32le a.wav",
    "wav, a-law": "-c:a pcm_alaw a.wav",
    "w64": "a.w64",
    "aiff": "a.aiff",
    "au": "a.au",
    "caf": "a.caf",
    "flac": "a.flac",
    "mp3, constant rate": "-b:a 64k a.mp3",
    "mp3, variable rate": "-q:a 4 a.mp3",
    "mp3, variable rate without Xing": "-q:a 4 -write_xing 0 -id3v2_version 0 a.mp3",
    "ogg opus": "-c:a libopus a.ogg",
    "ogg vorbis": "-c:a libvorbis a.ogg",
    "aac": "a.aac",
    "m4a": "a.m4a",
    "m4a, index first": "-movflags +faststart a.m4a",
    "m4a, fragmented": "-movflags +frag_keyframe+empty_moov -frag_duration 1000000 a.m4a",
    "m4a, lossless": "-c:a alac a.m4a",
    "webm": "-c:a libopus a.webm",
    "webm, live without a duration": "-c:a libopus -live 1 a.webm",
    "mka": "-c:a pcm_s16le a.mka",
    "amr": "-ar 8000 -ac 1 -b:a 12.2k a.amr",
    "ac3": "a.ac3",
    "wma": "a.wma",
    "wavpack": "a.wv",
    "mp4 with video": "-c:v libx264 -preset ultrafast -movflags +faststart v.mp4",
    "webm with video": "-c:v libvpx -deadline realtime -cpu-used 8 -threads 1 -c:a libopus v.webm",
    "mkv with video": "-c:v mpeg4 -c:a aac v.mkv",
    "avi with video": "-c:v mpeg4 -c:a libmp3lame v.avi",
    "flv with video": "-c:v flv -c:a libmp3lame -ar 44100 v.flv",
    "mpegts with video": "-c:v mpeg2video -c:a aac v.ts",
    "mpeg with video": "-c:v mpeg1video v.mpg",
    "mxf with video": "-c:v mpeg2video -ar 48000 -c:a pcm_s16le v.mxf",
}

STEREO = {
    "wav": "a.wav",
    "flac": "a.flac",
    "mp3": "-b:a 64k a.mp3",
    "opus": "-c:a libopus -b:a 32k a.ogg",
    "aac": "-c:a aac -b:a 64k a.m4a",
    "aac in video": "-c:v libx264 -preset ultrafast -c:a aac v.mp4",
}

# Those of `WHOLE` that show that their second half is missing.
DETECTED = [
    *("wav", "wav, 8 kHz stereo", "wav, float", "wav, a-law", "aiff", "au", "flac"),
    *("mp3, constant rate", "mp3, variable rate", "m4a", "m4a, index first", "m4a, fragmented", "m4a, lossless"),
    *("webm", "webm, live without a duration", "mka", "wavpack"),
    *("mp4 with video", "webm with video", "mkv with video", "avi with video"),
]
UNDETECTED = ["ogg opus", "ogg vorbis", "aac", "mp3, variable rate without Xing", "amr", "ac3"]


def make(folder: Path, arguments: str) -> Path:
    """A file with a sine of `SECONDS`, and with a video if its name starts with `v`."""
    *options, name = arguments.split()
    video = VIDEO if name.startswith("v.") else []
    encode(*video, "-f", "lavfi", "-i", f"sine={TONE}:duration={SECONDS}", *options, str(folder / name))
    return folder / name


@pytest.fixture(scope="session")
def media(tmp_path_factory):
    """Makes each kind of `WHOLE` once."""
    made: dict[str, Path] = {}

    def get(kind: str) -> Path:
        if kind not in made:
            made[kind] = make(tmp_path_factory.mktemp("media"), WHOLE[kind])
        return made[kind]

    return get


@pytest.fixture
def folder(tmp_path):
    """An empty folder for the decoder."""
    path = tmp_path / "job"
    path.mkdir()
    return path


def decode(source: Path, folder: Path, **options):
    return decode_audio(source, folder, **{"max_seconds": 3600.0, "max_bytes": 2 << 30, **options})


def record(source: Path, folder: Path, options: AudioOptions = NO_OPTIONS, **limits) -> DecodedAudio:
    return decode_recording(source, folder, options, **{"max_seconds": 3600.0, "max_bytes": 2 << 30, **limits})


def split(source: Path, folder: Path, **limits):
    return record(source, folder, AudioOptions(split=True), **limits).channels


def refusal(source: Path, folder: Path, decode=decode, **options) -> str:
    """The message of the refusal; checks that it names no path and that no file is left."""
    with pytest.raises(UnsupportedMedia) as error:
        decode(source, folder, **options)
    message = str(error.value)
    assert list(folder.iterdir()) == []
    assert str(source.parent) not in message
    assert source.name not in message
    assert "\n" not in message
    return message


def write(folder: Path, content: bytes | bytearray | str, name: str = "sent") -> Path:
    source = folder.parent / name
    source.write_bytes(content.encode() if isinstance(content, str) else content)
    return source


# Complete recordings


@pytest.mark.parametrize("kind", WHOLE)
def test_a_whole_recording_decodes_to_16_khz_mono(kind, media, folder):
    samples = decode(media(kind), folder)
    assert samples.dtype == np.int16
    assert samples.ndim == 1
    assert len(samples) / SAMPLE_RATE == pytest.approx(SECONDS, abs=0.15)
    assert main_frequency(samples) == pytest.approx(TONE, abs=1)
    assert np.abs(samples).max() > 1000


def test_the_samples_are_mapped_from_disk_read_only(media, folder):
    samples = decode(media("flac"), folder)
    assert isinstance(samples, np.memmap)
    assert not samples.flags.writeable
    (file,) = folder.iterdir()
    assert file.stat().st_size == samples.nbytes


def test_a_cover_picture_is_no_video(media, folder):
    source, cover = folder.parent / "cover.mp3", folder.parent / "cover.jpg"
    encode("-f", "lavfi", "-i", "color=red:s=64x64", "-frames:v", "1", str(cover))
    tracks = ["-i", str(media("mp3, variable rate")), "-i", str(cover), "-map", "0", "-map", "1"]
    encode(*tracks, "-c", "copy", "-disposition:v", "attached_pic", str(source))
    assert len(decode(source, folder)) / SAMPLE_RATE == pytest.approx(SECONDS, abs=0.1)
    (folder / "audio.pcm").unlink()
    assert "cut off" in refusal_of_truncated(source, folder)


@pytest.mark.parametrize("declared", [0, 0x7FFF_F000, 0x8000_0000, 0xFFFF_FFFF])
def test_a_wav_from_a_pipe_has_no_length(declared, media, folder):
    data = bytearray(media("wav").read_bytes())
    at = data.index(b"data")
    data[4:8] = data[at + 4 : at + 8] = declared.to_bytes(4, "little")
    assert len(decode(write(folder, data), folder)) / SAMPLE_RATE == pytest.approx(SECONDS, abs=0.1)


@pytest.mark.parametrize("kind", ["flac", "mp3, variable rate", "m4a, index first", "webm", "ogg opus"])
def test_a_few_damaged_bytes_are_no_cut(kind, media, folder):
    data = bytearray(media(kind).read_bytes())
    for part in (2, 3, 4):
        at = len(data) * part // 6
        data[at : at + 20] = bytes(range(20))
    assert len(decode(write(folder, data), folder)) > SECONDS * SAMPLE_RATE / 4


def test_a_gap_between_packets_is_no_cut_and_keeps_the_clock(folder):
    source = folder.parent / "gap.webm"
    gap = ["-af", "aselect='not(between(t,2,6))'"]
    encode("-f", "lavfi", "-i", "sine=440:duration=8", *gap, "-c:a", "libopus", str(source))
    pcm = decode(source, folder)
    assert len(pcm) / SAMPLE_RATE == pytest.approx(8, abs=0.1)
    assert np.abs(pcm[3 * SAMPLE_RATE : 5 * SAMPLE_RATE]).max() == 0
    assert np.abs(pcm[7 * SAMPLE_RATE :]).max() > 1000


def test_audio_that_starts_after_its_video_keeps_the_videos_clock(folder):
    source = folder.parent / "late.mp4"
    picture = ["-f", "lavfi", "-i", "testsrc=size=64x64:rate=5:duration=6"]
    sound = ["-itsoffset", "2", "-f", "lavfi", "-i", "sine=440:duration=4"]
    encode(*picture, *sound, "-c:v", "libx264", "-c:a", "aac", str(source))
    pcm = decode(source, folder)
    assert len(pcm) / SAMPLE_RATE == pytest.approx(6, abs=0.1)
    assert np.abs(pcm[: int(1.9 * SAMPLE_RATE)]).max() < 10
    assert np.abs(pcm[int(2.1 * SAMPLE_RATE) : 3 * SAMPLE_RATE]).max() > 1000


def test_a_late_start_is_no_cut(media, folder):
    source = folder.parent / "late.mka"
    late = ["-itsoffset", "10", "-i", str(media("wav")), "-avoid_negative_ts", "disabled"]
    encode(*late, "-c:a", "flac", str(source))
    assert len(decode(source, folder)) / SAMPLE_RATE == pytest.approx(SECONDS, abs=0.1)


# Truncated recordings


STRICT = AudioOptions(strict=True)


def truncated(source: Path, folder: Path) -> Path:
    data = source.read_bytes()
    return write(folder, data[: len(data) * 6 // 10])


def refusal_of_truncated(source: Path, folder: Path) -> str:
    return refusal(truncated(source, folder), folder, record, options=STRICT)


@pytest.mark.parametrize("kind", DETECTED)
def test_a_recording_that_is_cut_off_is_decoded_as_far_as_it_goes(kind, media, folder):
    source = truncated(media(kind), folder)
    if kind in {"m4a", "m4a, lossless"}:
        assert refusal(source, folder) == "the recording is cut off: its index is missing; upload it again in full"
        return
    audio = record(source, folder)
    (warning,) = (warning for warning in audio.warnings if "cut off" in warning)
    assert warning.endswith("; what is there was transcribed")
    (samples,) = audio.channels
    assert 0.2 * SECONDS < len(samples) / SAMPLE_RATE < 0.95 * SECONDS
    assert main_frequency(samples) == pytest.approx(TONE, abs=1)


@pytest.mark.slow
@pytest.mark.parametrize("kind", DETECTED)
def test_strict_refuses_a_recording_that_is_cut_off(kind, media, folder):
    assert refusal_of_truncated(media(kind), folder).startswith("the recording is cut off: ")


@pytest.mark.slow
@pytest.mark.parametrize("kind", WHOLE)
def test_a_whole_recording_passes_strict_and_has_no_warnings(kind, media, folder):
    assert record(media(kind), folder, STRICT).warnings == []


@pytest.mark.parametrize(("declared", "is_cut"), [(2_000_000_036, False), (500_000_000, False), (900_000, True)])
def test_a_length_that_nothing_explains_is_made_up_and_no_cut(declared, is_cut, media, folder):
    data = bytearray(media("wav").read_bytes())
    at = data.index(b"data")
    data[4:8] = declared.to_bytes(4, "little")
    data[at + 4 : at + 8] = (declared - at).to_bytes(4, "little")
    audio = record(write(folder, data), folder)
    assert len(audio.channels[0]) / SAMPLE_RATE == pytest.approx(SECONDS, abs=0.1)
    assert ["cut off" in warning for warning in audio.warnings] == [is_cut]
    if is_cut:
        refusal(folder.parent / "sent", folder, record, options=STRICT)
    else:
        record(folder.parent / "sent", folder, STRICT)


def test_many_damaged_packets_are_told(media, folder):
    data = bytearray(media("m4a, index first").read_bytes())
    at = len(data) * 4 // 10
    data[at : at + len(data) // 5] = bytes(len(data) // 5)
    (warning,) = record(write(folder, data), folder).warnings
    assert "packets of the audio are damaged" in warning


@pytest.mark.slow
@pytest.mark.parametrize("kind", UNDETECTED)
def test_a_truncated_raw_stream_is_decoded_to_its_end(kind, media, folder):
    data = media(kind).read_bytes()
    samples = decode(write(folder, data[: len(data) * 6 // 10]), folder)
    assert len(samples) / SAMPLE_RATE == pytest.approx(SECONDS * 0.6, abs=2)  # whole pages


def test_the_message_says_how_much_is_missing(media, folder):
    assert "it declares 8.0 s but only 4.8 s could be decoded" in refusal_of_truncated(media("aiff"), folder)
    assert "it declares 8.0 s (705678 bytes) but only 4.8 s (" in refusal_of_truncated(media("wav"), folder)


# Joined recordings, and WAVs that go on

JOINED = {
    "webm": "-c:a libopus X.webm",
    "ogg opus": "-c:a libopus X.ogg",
    "flac": "X.flac",
    "mp3": "X.mp3",
    "aac": "X.aac",
    "mpegts": "-c:a aac X.ts",
    "mka": "-c:a aac X.mka",
    "avi": "-c:a libmp3lame X.avi",
    "wav": "X.wav",
    "au": "X.au",
}
NOT_READ_ON = {
    "m4a": "X.m4a",
    "wma": "X.wma",
    "wavpack": "X.wv",
    "flv": "-c:a libmp3lame -ar 44100 X.flv",
    "aiff": "X.aiff",
    "caf": "X.caf",
    "tta": "X.tta",
    "w64": "X.w64",
    "voc": "X.voc",
}


def join(folder: Path, arguments: str) -> Path:
    """Two recordings of 2 s, of 300 and of 1000 Hz, in one file, as programs leave them that append to a file."""
    content = b""
    for tone in (300, 1000):
        *options, name = arguments.replace("X", f"{tone}").split()
        encode("-f", "lavfi", "-i", f"sine={tone}:duration=2", *options, str(folder.parent / name))
        content += (folder.parent / name).read_bytes()
    return write(folder, content)


@pytest.mark.parametrize("kind", JOINED)
def test_joined_recordings_are_decoded_to_the_end(kind, folder):
    found = record(join(folder, JOINED[kind]), folder)
    (samples,) = found.channels
    assert len(samples) == pytest.approx(4 * SAMPLE_RATE, abs=0.2 * SAMPLE_RATE)
    tones_found = [main_frequency(samples[:SAMPLE_RATE]), main_frequency(samples[-SAMPLE_RATE:])]
    assert tones_found == pytest.approx([300, 1000], abs=2)
    assert found.warnings == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", NOT_READ_ON)
def test_a_recording_after_the_end_that_cannot_be_read_is_reported(kind, folder):
    found = record(join(folder, NOT_READ_ON[kind]), folder)
    assert len(found.channels[0]) == pytest.approx(2 * SAMPLE_RATE, abs=0.2 * SAMPLE_RATE)
    assert any("contains another recording after the first one" in warning for warning in found.warnings)


def test_a_pause_between_joined_parts_keeps_its_length(folder):
    """The clock steps from 2 s to 5 s: the gap stays 3 s long, and what follows is at its time."""
    first, second = folder.parent / "first.webm", folder.parent / "second.webm"
    encode("-f", "lavfi", "-i", "sine=300:duration=2", "-c:a", "libopus", str(first))
    encode("-f", "lavfi", "-i", "sine=1000:duration=2", "-c:a", "libopus", "-output_ts_offset", "5", str(second))
    source = write(folder, first.read_bytes() + second.read_bytes())
    samples = decode(source, folder)
    assert len(samples) == pytest.approx(7 * SAMPLE_RATE, abs=0.1 * SAMPLE_RATE)
    assert main_frequency(samples[-SAMPLE_RATE:]) == pytest.approx(1000, abs=2)
    assert np.abs(samples[3 * SAMPLE_RATE : 4 * SAMPLE_RATE]).max() < 10


HOUR = 3600


@pytest.mark.slow
@pytest.mark.parametrize("is_split", [False, True])
@pytest.mark.parametrize("hours", [[0.02], [0.5], [5], [11], [0.3, 0.01, 6]])
def test_gaps_of_hours_keep_the_clock(hours, is_split, folder):
    """A second of a tone before, between and after the gaps; by the filter alone, those over 4.7 hours are lost."""
    lengths = [round(hour * HOUR * SCALE) for hour in hours]
    track = Mp4Track([*((1, SCALE + length) for length in lengths), (1, SCALE)], 2 * RATE)
    source = write(folder, mp4(sine(440, 1.0).tobytes(), track))
    found = record(source, folder, AudioOptions(split=is_split), max_seconds=12 * HOUR)
    (samples,) = found.channels
    assert found.warnings == (['channels "split" has no effect: the recording has one channel'] if is_split else [])
    assert len(samples) == sum(RATE + length * RATE // SCALE for length in lengths) + RATE
    start = 0
    for length in [*lengths, 0]:
        assert main_frequency(samples[start : start + RATE]) == pytest.approx(440, abs=2)
        assert not samples[start + RATE : start + RATE + length * RATE // SCALE].any()
        start += RATE + length * RATE // SCALE
    assert [file.name for file in folder.iterdir()] == ["audio.pcm"]


@pytest.mark.slow
@pytest.mark.parametrize("hours", [12, 30, 31, 300, 590])
def test_a_gap_over_the_limit_is_told(hours, folder):
    source = write(folder, mp4(sine(440, 1.0).tobytes(), Mp4Track([(1, hours * HOUR * SCALE), (1, SCALE)], 2 * RATE)))
    with pytest.raises(TooLarge, match=f"limit of 12 hours, with a gap of {hours} hours after 1.0 s: send it in parts"):
        decode(source, folder, max_seconds=12 * HOUR)
    assert list(folder.iterdir()) == []


@pytest.mark.slow
def test_a_webm_with_a_gap_of_an_hour_is_whole(folder):
    first, second = folder.parent / "first.webm", folder.parent / "second.webm"
    encode("-f", "lavfi", "-i", "sine=300:duration=2", "-c:a", "libopus", str(first))
    encode("-f", "lavfi", "-i", "sine=1000:duration=2", "-c:a", "libopus", "-output_ts_offset", "3600", str(second))
    joined = folder.parent / "joined.mka"
    listed = folder.parent / "list.txt"
    listed.write_text(f"file '{first}'\nduration 3600\nfile '{second}'\ninpoint 3600\n")
    encode("-f", "concat", "-safe", "0", "-i", str(listed), "-c", "copy", str(joined))
    found = record(joined, folder, AudioOptions(strict=True), max_seconds=2 * HOUR)
    (samples,) = found.channels
    assert len(samples) == pytest.approx(3602 * SAMPLE_RATE, abs=0.1 * SAMPLE_RATE)
    assert main_frequency(samples[-SAMPLE_RATE:]) == pytest.approx(1000, abs=2)


def wav_that_goes_on(folder: Path, after: bytes) -> bytes:
    """A WAV of 2 s, as long as its header says, with something after its declared end."""
    return tones(folder.parent / "declared.wav", 300).read_bytes() + after


TWO_SECONDS = 2 * SAMPLE_RATE
MORE_SAMPLES = sine(1000, 2.0).tobytes()


@pytest.mark.parametrize(
    ("after", "samples"),
    [
        pytest.param(b"", TWO_SECONDS, id="nothing"),
        pytest.param(MORE_SAMPLES, 2 * TWO_SECONDS, id="more samples: the recorder did not update its header"),
        pytest.param(b"id3 " + MORE_SAMPLES, TWO_SECONDS, id="a tag with a picture"),
        pytest.param(b"LIST" + MORE_SAMPLES, TWO_SECONDS, id="a list of notes"),
    ],
)
def test_a_wav_is_read_beyond_its_declared_end_if_its_samples_go_on(after, samples, folder):
    found = record(write(folder, wav_that_goes_on(folder, after)), folder)
    assert len(found.channels[0]) == samples
    assert found.warnings == []


def test_a_wav_of_another_format_after_the_first_is_reported(folder):
    other = write_wav(folder.parent / "other.wav", sine(1000, 2.0)[:, None], rate=8000).read_bytes()
    found = record(write(folder, wav_that_goes_on(folder, other)), folder)
    assert len(found.channels[0]) == TWO_SECONDS
    assert any("another recording" in warning for warning in found.warnings)


# Tracks, phases and many channels


def tracks(folder: Path, *options: str) -> Path:
    """A film with two soundtracks, of 300 and of 1000 Hz; `options` of ffmpeg describe them."""
    first, second = tones(folder.parent / "first.wav", 300), tones(folder.parent / "second.wav", 1000)
    source = folder.parent / "tracks.mka"
    encode("-i", str(first), "-i", str(second), "-map", "0", "-map", "1", "-c", "copy", *options, str(source))
    return source


FIRST_IS_DEFAULT = ["-disposition:a:0", "default", "-disposition:a:1", "0"]
SECOND_IS_DEFAULT = ["-disposition:a:0", "0", "-disposition:a:1", "default"]
NAMED = ["-metadata:s:a:0", "language=ger", "-metadata:s:a:1", "language=eng", "-metadata:s:a:1", "title=Director"]


@pytest.mark.parametrize(
    ("options", "wanted", "tone"),
    [
        (FIRST_IS_DEFAULT, None, 300),
        (SECOND_IS_DEFAULT, None, 1000),
        (SECOND_IS_DEFAULT, 1, 300),
        (FIRST_IS_DEFAULT + NAMED, 2, 1000),
        (FIRST_IS_DEFAULT + NAMED, "en", 1000),
        (SECOND_IS_DEFAULT + NAMED, "German", 300),
        (FIRST_IS_DEFAULT + NAMED, "director", 1000),
    ],
)
@pytest.mark.parametrize("is_split", [False, True])
def test_the_chosen_track_is_decoded(options, wanted, tone, is_split, folder):
    found = record(tracks(folder, *options), folder, AudioOptions(track=wanted, split=is_split))
    assert main_frequency(found.channels[0]) == pytest.approx(tone, abs=1)
    assert any("2 audio tracks" in warning for warning in found.warnings) == (wanted is None)


def test_a_track_of_an_mp4_is_chosen_by_its_title(folder):
    source = folder / "film.mp4"
    encode("-i", str(tracks(folder)), "-map", "0", "-c:a", "aac", *NAMED, str(source))
    found = record(source, folder, AudioOptions(track="director"))
    assert main_frequency(found.channels[0]) == pytest.approx(1000, abs=1)


def test_the_mono_tracks_of_a_broadcast_file_are_called_so(folder):
    """MXF OP1a, where each channel of a sound is a track."""
    source = folder / "v.mxf"
    tones = [part for tone in (300, 1000) for part in ("-f", "lavfi", "-i", f"sine={tone}:duration={SECONDS}")]
    layout = ["-map", "0:v", "-map", "1:a", "-map", "2:a", "-c:v", "mpeg2video", "-ar", "48000", "-c:a", "pcm_s24le"]
    encode(*VIDEO, *tones, *layout, str(source))
    found = record(source, folder)
    assert main_frequency(found.channels[0]) == pytest.approx(300, abs=1)
    (warning,) = found.warnings
    assert "has 2 audio tracks, each of one channel, and only track 1 was transcribed; there is track 2:" in warning
    second = record(source, folder, AudioOptions(track=2))
    assert main_frequency(second.channels[0]) == pytest.approx(1000, abs=1)


def test_a_track_that_is_not_there_is_refused_with_those_that_are(folder):
    with pytest.raises(InvalidInput, match=r"no track 'fr', only track 1 \(ger\), track 2 \(eng, \"Director\"\)"):
        record(tracks(folder, *NAMED), folder, AudioOptions(track="fr"))


def test_a_title_cannot_forge_a_track_or_break_the_line(folder):
    title = "title=x\n  Stream #0:1(fre): Audio: mp3\r\x1b[31m" + "y" * 200
    (warning,) = record(tracks(folder, "-metadata:s:a:0", title), folder).warnings
    assert "has 2 audio tracks" in warning
    assert warning.isprintable()
    assert len(warning) < 300


@pytest.mark.parametrize("kind", STEREO)
def test_a_voice_in_opposite_phase_is_in_the_mix(kind, stereo_speech, folder):
    source = folder.parent / "opposite.wav"
    encode("-t", "4", "-i", str(stereo_speech), "-af", "pan=stereo|c0=c0|c1=-1*c1", str(source))
    expected = np.array(decode(stereo_speech, folder)[: 4 * SAMPLE_RATE], dtype=np.float64)
    found = np.array(decode(encode_as(source, kind), folder), dtype=np.float64)
    assert np.mean(found**2) > 0.5 * np.mean(expected**2)


@pytest.mark.parametrize("channels", [9, 10, 32, MAX_MIXED_CHANNELS - 4])
def test_a_voice_in_the_last_of_many_channels_is_in_the_mix(channels, folder):
    source = tones(folder.parent / "many.wav", *[0.0] * (channels - 1), 300)
    samples = decode(source, folder)
    assert len(samples) == 2 * SAMPLE_RATE
    assert main_frequency(samples) == pytest.approx(300, abs=1)
    assert np.abs(samples).max() == pytest.approx(8000, rel=0.02)


def test_more_channels_than_can_be_mixed_are_refused(folder):
    source = tones(folder.parent / "crowd.wav", *[300.0] * (MAX_MIXED_CHANNELS + 1), seconds=0.2)
    assert "65 channels, of which at most 64 can be mixed" in refusal(source, folder)


# Files that are no recording


def test_an_empty_file(folder):
    assert refusal(write(folder, b""), folder) == "the file is empty"


def test_raw_gsm_is_known_by_its_frames(folder):
    """8 kHz in frames of 33 bytes, each of which begins with the half byte 0xD: telephone systems keep prompts so."""
    noise = np.random.default_rng(0).integers(0, 256, (200, 33), np.uint8)
    noise[:, 0] = 0xD0 | noise[:, 0] & 0x0F
    assert len(decode(write(folder, noise.tobytes()), folder)) == 200 * 160 * 2
    noise[::10, 0] ^= 0x80
    assert "not audio or video" in refusal(write(folder, noise.tobytes()), folder)


def test_a_locator_in_mxf_opens_no_other_file(media, folder):
    """The set NetworkLocator of SMPTE ST 377-1, with the URL of a file that has sound, in place of the first filler."""
    other = tones(folder.parent / "other.wav", 1000, seconds=3.0)
    content = media("mxf with video").read_bytes()
    filler = bytes.fromhex("060e2b34010101020301021001000000")
    at = content.index(filler)
    size = int.from_bytes(content[at + 17 : at + 20], "big")
    url = other.as_uri().encode("utf-16-be")
    body = b"\x3c\x0a\0\x10" + bytes(16) + b"\x40\x01" + len(url).to_bytes(2, "big") + url
    locator = bytes.fromhex("060e2b34025301010d01010101013200") + b"\x83" + len(body).to_bytes(3, "big") + body
    rest = size - len(locator)
    assert rest >= 0
    new = locator + filler + b"\x83" + rest.to_bytes(3, "big") + bytes(rest)
    samples = decode(write(folder, content[:at] + new + content[at + 20 + size :]), folder)
    assert len(samples) == pytest.approx(SECONDS * SAMPLE_RATE, abs=SAMPLE_RATE / 10)
    assert main_frequency(samples[:SAMPLE_RATE]) == pytest.approx(TONE, abs=2)


@pytest.mark.parametrize(
    "kind", ["wav", "aiff", "flac", "m4a, fragmented", "webm", "mka", "webm, live without a duration"]
)
def test_a_recording_that_was_stopped_at_once_is_empty_and_not_damaged(kind, media, folder):
    content = media(kind).read_bytes()
    first_sound = {"wav": b"data", "aiff": b"SSND", "m4a, fragmented": b"moof", "flac": b"\xff\xf8"}
    sign = first_sound.get(kind, b"\x1f\x43\xb6\x75")
    at = (
        content.rindex(sign, 0, content.index(b"\xa3", content.index(sign))) if sign == b"\x1f" else content.index(sign)
    )
    header = content[:at] + {"wav": b"data\0\0\0\0", "aiff": b"SSND\0\0\0\x08" + bytes(8)}.get(kind, b"")
    header = header[:-4] if kind == "m4a, fragmented" else header
    assert "the recording is empty: it has a header but no sound" in refusal(write(folder, header), folder)


def test_a_recording_that_is_cut_off_before_its_sound_is_not_empty(media, folder):
    content = media("m4a, index first").read_bytes()
    header = content[: content.index(b"mdat") + 4]
    assert "cut off before its sound begins" in refusal(write(folder, header), folder)


def test_a_video_without_sound(folder):
    source = folder.parent / "silent.mp4"
    encode(*VIDEO, str(source))
    assert refusal(source, folder) == "the file has no audio track"


@pytest.mark.parametrize("content", ["<html><body>Access denied</body></html>", "just some text\n" * 99, b"\0" * 9999])
def test_a_file_of_something_else(content, folder):
    assert "format that can be decoded" in refusal(write(folder, content), folder)


@pytest.mark.slow
@examples(15)
@given(
    head=st.sampled_from(
        [b"", b"RIFF", b"RIFF\xff\xff\xff\xffWAVEfmt ", b"fLaC", b"OggS", b"ID3\x04", b"\x1aE\xdf\xa3"]
    ),
    body=st.binary(min_size=1, max_size=3000),
)
def test_garbage_is_refused_or_short(head, body, folder):
    try:
        samples = decode(write(folder, head + body), folder)
    except UnsupportedMedia:
        assert list(folder.iterdir()) == []
    else:  # a few bytes may happen to be a frame of sound
        assert 0 < len(samples) < 3600 * SAMPLE_RATE


# Hostile files


@pytest.fixture
def trap():
    """A loopback server that must get no request: its URL, and the paths that were requested."""
    requested: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            requested.append(self.path)
            self.send_error(404)

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/secret.wav", requested
        server.shutdown()


SCRIPTS = {
    "hls": "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{}\n#EXT-X-ENDLIST\n",
    "m3u": "#EXTM3U\n#EXTINF:9,\n{}\n",
    "ffconcat": "ffconcat version 1.0\nfile '{}'\n",
    "ffmetadata": ";FFMETADATA1\ntitle={}\n",
    "dash": '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
    'mediaPresentationDuration="PT9S" profiles="urn:mpeg:dash:profile:isoff-main:2011"><Period><AdaptationSet '
    'mimeType="audio/wav"><Representation id="1" bandwidth="9"><BaseURL>{}</BaseURL><SegmentBase/>'
    "</Representation></AdaptationSet></Period></MPD>\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\na=control:{}\nm=audio 9 RTP/AVP 0\n",
    "imf": '<?xml version="1.0"?>\n<CompositionPlaylist xmlns="http://www.smpte-ra.org/schemas/2067-3/2016">{}'
    "</CompositionPlaylist>\n",
    "srt": "1\n00:00:01,000 --> 00:00:02,000\n{}\n",
    "vtt": "WEBVTT\n\n00:01.000 --> 00:02.000\n{}\n",
    "ass": "[Script Info]\nScriptType: v4.00+\n[Events]\nDialogue: 0,0:00:01.00,0:00:02.00,Default,,0,0,0,,{}\n",
    "mpsub": "FORMAT=TIME\nFILE={}\n",
    "rtsp redirect": "[Reference]\nRef1={}\n",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sent", "sent.mp3", "sent.m3u8"])
@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_that_names_another_source_is_refused(script, name, media, trap, folder):
    url, requested = trap
    for target in (str(media("wav")), f"file:{media('wav')}", url):
        refusal(write(folder, SCRIPTS[script].format(target), name), folder)
    assert requested == []


def boxes(data: bytes, path: list[str], replace: bytes) -> bytes:
    """`data` with the box at `path` replaced, and the sizes of the boxes around it corrected."""
    out, at = b"", 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        kind, box = data[at + 4 : at + 8], data[at : at + size]
        if kind == path[0].encode():
            box = replace if len(path) == 1 else kind + boxes(box[8:], path[1:], replace)
            box = box if len(path) == 1 else (len(box) + 4).to_bytes(4, "big") + box
        out += box
        at += size
    return out


def external_mov(media, secret: Path) -> bytes:
    """A QuickTime file of silence whose track refers to the file `secret` for its sound."""
    inside = secret.parent.parent / "silence.mov"
    encode("-f", "lavfi", "-i", "anullsrc=r=44100:cl=mono:d=8", "-c:a", "pcm_s16le", str(inside))
    path = str(secret).encode()
    path += b"\0" * (len(path) % 2)
    alias = bytes(10) + b"\x01v".ljust(28, b"\0") + bytes(12) + b"\x01f".ljust(64, b"\0") + bytes(16)
    alias += b"\xff\xff\xff\xff" + bytes(16) + b"\0\2" + len(path).to_bytes(2, "big") + path + b"\xff\xff\0\0"
    entry = (len(alias) + 12).to_bytes(4, "big") + b"alis" + bytes(4) + alias
    dref = (len(entry) + 16).to_bytes(4, "big") + b"dref" + bytes(4) + b"\0\0\0\1" + entry
    return boxes(inside.read_bytes(), ["moov", "trak", "mdia", "minf", "dinf", "dref"], dref)


def test_a_quicktime_file_cannot_read_another_file(media, folder):
    source = write(folder, external_mov(media, media("wav")))
    followed = folder.parent / "followed.wav"
    encode("-enable_drefs", "1", "-use_absolute_path", "1", "-i", str(source), str(followed))
    assert main_frequency(decode(followed, folder)) == pytest.approx(TONE, abs=2)  # the trap works
    try:
        samples = decode(source, folder)
    except UnsupportedMedia:
        return
    assert np.abs(samples).max() < 10


def slow_wav(size: int) -> bytes:
    """A WAV of one sample per second: 20 KB last five and a half hours."""
    fmt = b"fmt \x10\0\0\0\1\0\1\0" + (1).to_bytes(4, "little") * 2 + b"\1\0\x08\0"
    data = b"data" + size.to_bytes(4, "little") + b"\x80" * size
    return b"RIFF" + (len(fmt) + len(data) + 4).to_bytes(4, "little") + b"WAVE" + fmt + data


@pytest.mark.slow
def test_a_small_file_that_unpacks_to_hours_stops_at_the_limit(folder):
    source = write(folder, slow_wav(360_000))
    with final_size(folder) as sizes, pytest.raises(TooLarge, match="longer than the limit of 30 minutes"):
        decode(source, folder, max_seconds=1800)
    assert sizes == [2 * (1800 * SAMPLE_RATE + 1)]
    assert list(folder.iterdir()) == []


@contextmanager
def final_size(folder: Path) -> Iterator[list[int]]:
    """The bytes of the decoded file at the end of the block, although an error removes it.

    ffmpeg overwrites a file that is there already, so an open handle of it outlives its removal.
    """
    sizes: list[int] = []
    with (folder / "audio.pcm").open("wb") as held:
        yield sizes
        sizes.append(os.fstat(held.fileno()).st_size)


def test_the_disk_holds_no_more_than_the_limit_and_a_sample(folder):
    source = write(folder, slow_wav(360_000))
    with final_size(folder) as sizes, pytest.raises(TooLarge, match=r"limit of 31\.2 seconds"):
        decode(source, folder, max_bytes=1_000_000)
    assert sizes == [1_000_000 + 2]


def test_the_limits_are_inclusive(media, folder):
    samples = len(decode(media("wav"), folder))
    assert len(decode(media("wav"), folder, max_bytes=2 * samples, max_seconds=samples / SAMPLE_RATE)) == samples
    with pytest.raises(TooLarge):
        decode(media("wav"), folder, max_bytes=2 * samples - 2)


def test_a_forged_index_does_not_take_the_memory(media, folder):
    data = bytearray(media("m4a, index first").read_bytes())
    at = data.index(b"stsz")
    data[at + 8 : at + 16] = (1).to_bytes(4, "big") + (150_000_000).to_bytes(4, "big")
    peak, error = peak_of_programs(decode, write(folder, data), folder)
    assert peak < 1.2 * MAX_MEMORY
    assert error is not None


@pytest.fixture
def hanging(tmp_path, monkeypatch):
    """Replaces ffmpeg by a program that logs endlessly and writes no sound."""
    program = tmp_path / "ffmpeg"
    program.write_text(f"#!{sys.executable}\nwhile True:\n    print('[x] error ' * 9999, flush=True)\n")
    program.chmod(0o755)
    monkeypatch.setattr("media.sandbox.ffmpeg_executable", lambda: str(program))


def test_a_decoder_that_stalls_is_killed(hanging, folder):
    before = threading.active_count()
    assert "stalled" in refusal(write(folder, b"x"), folder, stall_seconds=0.2)
    assert threading.active_count() == before


def test_ffmpeg_gets_no_environment_and_only_the_file_protocol(folder, monkeypatch):
    ffmpeg_executable()  # the first call may run a process to find it
    calls: list[tuple[list[str], dict[str, str]]] = []
    popen = subprocess.Popen

    def spy(command, **options):
        calls.append((command, options["env"]))
        return popen(command, **options)

    monkeypatch.setattr(subprocess, "Popen", spy)
    refusal(write(folder, b"x"), folder)
    ((command, environment),) = calls
    assert environment == {}
    assert command[command.index("-protocol_whitelist") + 1] == "file"
    assert command.index("-format_whitelist") < command.index("-i")


def test_decoding_stays_on_one_core_and_the_next_on_another(folder, monkeypatch):
    cores = os.sched_getaffinity(0)
    seen = []
    popen = subprocess.Popen

    def spy(command, **options):
        process = popen(command, **options)
        seen.append(os.sched_getaffinity(process.pid))
        return process

    monkeypatch.setattr(subprocess, "Popen", spy)
    for _ in range(2):
        refusal(write(folder, b"x"), folder)
    assert [len(allowed) for allowed in seen] == [1, 1]
    assert len(set.union(*seen)) == min(2, len(cores))
    assert os.sched_getaffinity(0) == cores


# Channels


def tones(path: Path, *frequencies: float, seconds: float = 2.0) -> Path:
    """A WAV with a sine in each channel."""
    return write_wav(path, np.stack([sine(frequency, seconds) for frequency in frequencies], axis=1))


def encode_as(source: Path, kind: str) -> Path:
    *arguments, name = STEREO[kind].split()
    video = VIDEO if name.startswith("v.") else []
    encode(*video, "-i", str(source), "-ar", "48000", "-shortest", *arguments, str(source.parent / name))
    return source.parent / name


@pytest.mark.parametrize("kind", STEREO)
def test_each_channel_is_decoded_by_itself(kind, folder):
    left, right = split(encode_as(tones(folder.parent / "two.wav", 300, 1000), kind), folder)
    assert main_frequency(left) == pytest.approx(300, abs=1)
    assert main_frequency(right) == pytest.approx(1000, abs=1)
    assert len(left) == len(right) == pytest.approx(2 * SAMPLE_RATE, abs=0.1 * SAMPLE_RATE)


@pytest.mark.slow
@pytest.mark.parametrize("kind", STEREO)
def test_a_mono_recording_on_a_stereo_track_is_one_channel(kind, folder):
    (only,) = split(encode_as(tones(folder.parent / "same.wav", 300, 300), kind), folder)
    assert main_frequency(only) == pytest.approx(300, abs=1)


@pytest.mark.parametrize(
    ("hertz", "warning"),
    [
        ((300,), 'channels "split" has no effect: the recording has one channel'),
        ((300, 300), 'channels "split" has no effect: the recording has 2 channels that are all the same'),
        ((300, 1000), None),
    ],
)
def test_a_split_of_one_channel_is_a_warning(hertz, warning, folder):
    source = tones(folder.parent / "tones.wav", *hertz)
    found = record(source, folder, AudioOptions(split=True))
    assert found.warnings == ([warning] if warning else [])
    assert not decode_recording(source, folder, NO_OPTIONS, max_seconds=3600.0, max_bytes=1 << 30).warnings


def test_a_mono_recording_is_one_channel(media, folder):
    (only,) = split(media("flac"), folder)
    assert (only == decode(media("flac"), folder)).all()


def test_a_silent_channel_is_a_channel(folder):
    left, right = split(tones(folder.parent / "left.wav", 300, 0), folder)
    assert np.abs(left).max() > 1000
    assert not right.any()


def test_one_word_in_a_single_channel_makes_two_channels(folder):
    source = tones(folder.parent / "word.wav", *[300] * 2, seconds=40)
    data = bytearray(source.read_bytes())
    samples = np.frombuffer(data, "<i2", offset=44).reshape(-1, 2)
    samples[31 * SAMPLE_RATE : 31 * SAMPLE_RATE + SAMPLE_RATE // 2, 0] = 0
    source.write_bytes(data)
    assert len(split(source, folder)) == 2


@pytest.fixture(scope="session")
def stereo_speech(tmp_path_factory) -> Path:
    """12 s of speech with pauses, the same in both channels."""
    source = tmp_path_factory.mktemp("speech") / "speech.wav"
    encode("-t", "12", "-i", str(Path(__file__).parent / "data" / "long.ogg"), "-ac", "2", str(source))
    return source


@pytest.mark.slow
@pytest.mark.parametrize("kind", STEREO)
def test_the_same_sound_in_opposite_phase_is_one_channel(kind, stereo_speech, folder):
    source = folder.parent / "opposite.wav"
    encode("-i", str(stereo_speech), "-af", "pan=stereo|c0=c0|c1=-1*c1", str(source))
    assert len(split(encode_as(source, kind), folder)) == 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", STEREO)
def test_codec_noise_makes_no_second_channel(kind, stereo_speech, folder):
    assert len(split(encode_as(stereo_speech, kind), folder)) == 1


@pytest.mark.parametrize("channels", [3, 6, MAX_CHANNELS])
def test_more_than_two_channels_stay_separate_and_in_order(channels, folder):
    frequencies = [200.0 + 100 * number for number in range(channels)]
    found = split(tones(folder.parent / "many.wav", *frequencies), folder)
    assert [main_frequency(samples) for samples in found] == pytest.approx(frequencies, abs=1)


def test_too_many_channels_are_refused(folder):
    source = tones(folder.parent / "crowd.wav", *[300.0] * (MAX_CHANNELS + 1))
    assert "9 channels, of which at most 8 can be told apart" in refusal(source, folder, split)


def test_the_channels_are_those_of_the_first_track(folder):
    mono, stereo = tones(folder.parent / "mono.wav", 300), tones(folder.parent / "stereo.wav", 500, 700)
    source = folder.parent / "tracks.mka"
    encode("-i", str(mono), "-i", str(stereo), "-map", "0", "-map", "1", "-c", "copy", str(source))
    (only,) = split(source, folder)
    assert main_frequency(only) == pytest.approx(300, abs=1)


def changing(folder: Path, *layouts: tuple[int, ...], seconds: float, times: int = 1) -> Path:
    """A broadcast with the tones of each layout in turn."""
    parts = [folder.parent / f"{number}.aac" for number in range(len(layouts))]
    for part, tone in zip(parts, layouts, strict=True):
        encode("-i", str(tones(part.with_suffix(".wav"), *tone, seconds=seconds)), str(part))
    return write(folder, b"".join(part.read_bytes() for part in parts) * times)


@pytest.mark.parametrize("layouts", [[(300,), (500, 700)], [(500, 700), (300,)]])
def test_a_change_of_channels_keeps_the_clock(layouts, folder):
    source = changing(folder, *layouts, seconds=2)
    found = [np.array(samples) for samples in split(source, folder)]
    assert len(found) == len(layouts[0])
    for samples in (*found, decode(source, folder)):
        assert len(samples) == pytest.approx(4 * SAMPLE_RATE, abs=0.3 * SAMPLE_RATE)
        assert main_frequency(samples[:SAMPLE_RATE]) in (300, 500, 700)
        assert main_frequency(samples[-SAMPLE_RATE:]) in (300, 500, 700)
        assert main_frequency(samples[:SAMPLE_RATE]) != main_frequency(samples[-SAMPLE_RATE:])


def test_the_disk_holds_no_more_than_the_limit_however_often_channels_change(folder):
    source = changing(folder, (300,), (500, 700), seconds=0.2, times=50)
    assert 20 * SAMPLE_RATE < len(decode(source, folder)) < 40 * SAMPLE_RATE
    for decoder in (decode, split):
        with final_size(folder) as sizes, pytest.raises(TooLarge, match="limit of 10 seconds"):
            decoder(source, folder, max_seconds=10)
        assert 2 * 10 * SAMPLE_RATE < sizes[0] < 2 * 10 * SAMPLE_RATE + (1 << 18)  # ffmpeg's buffer


def test_channels_are_views_of_one_file_on_disk(folder):
    left, right = split(tones(folder.parent / "two.wav", 300, 1000), folder)
    (file,) = folder.iterdir()
    assert file.stat().st_size == left.nbytes + right.nbytes
    assert isinstance(left, np.memmap)
    assert not left.flags.writeable
    assert left.strides == (4,)


def test_the_limits_hold_for_all_channels_together(folder):
    source = tones(folder.parent / "two.wav", 300, 1000)
    left, right = split(source, folder, max_bytes=2 * 2 * 2 * SAMPLE_RATE, max_seconds=4)
    assert len(left) == len(right) == 2 * SAMPLE_RATE
    for over in ({"max_seconds": 3.99}, {"max_bytes": 2 * 2 * 2 * SAMPLE_RATE - 2}):
        with pytest.raises(TooLarge, match=r"2 channels are together longer than the limit of 3\.99|of 4 seconds"):
            split(source, folder, **over)
        assert list(folder.iterdir()) == []


@pytest.mark.parametrize("kind", ["wav", "flac", "aac"])
def test_strict_refuses_channels_that_are_cut_off(kind, folder):
    data = encode_as(tones(folder.parent / "two.wav", 300, 1000, seconds=8), kind).read_bytes()
    options = AudioOptions(split=True, strict=True)
    assert "cut off" in refusal(write(folder, data[: len(data) * 6 // 10]), folder, record, options=options)


@pytest.mark.parametrize("content", [b"", b"no recording", b"RIFF\xff\xff\xff\xffWAVEfmt "])
def test_a_file_that_is_no_recording_has_no_channels(content, folder):
    source = write(folder, content)
    assert refusal(source, folder, split) == refusal(source, folder, decode)


def test_a_decoder_that_stalls_over_the_channels_is_killed(hanging, folder):
    assert "stalled" in refusal(write(folder, b"x"), folder, split, stall_seconds=0.2)


# The log

HEADER = """\
[mov,mp4,m4a,3gp,3g2,mj2 @ 0x1] a message
Input #0, mov,mp4,m4a,3gp,3g2,mj2, from 'file:/tmp/x':
  Metadata:
    title           : time=99:00:00.00 Error
  Duration: 01:02:03.50, start: 0.500000, bitrate: 9 kb/s
  Stream #0:0[0x1](und): Video: h264 (High) (avc1 / 0x31637661), yuv420p, 640x360, 25 fps, 25 tbr, 12800 tbn (default)
    Side data:
      displaymatrix: rotation of -90.00 degrees
  Stream #0:1[0x2](deu): Audio: aac (LC) (mp4a / 0x6134706D), 44100 Hz, stereo, fltp, 128 kb/s (default)
Stream mapping:
"""


def read_log(text: str) -> FfmpegLog:
    log = FfmpegLog()
    log.read(io.StringIO(text))
    return log


def test_the_header_of_a_log():
    log = read_log(HEADER)
    assert log.container == "mov,mp4,m4a,3gp,3g2,mj2"
    assert (log.duration, log.start, log.position) == (3723.5, 0.5, 0.0)  # no position from the hostile title
    assert [(stream.index, stream.kind, stream.codec, stream.rotation) for stream in log.streams] == [
        (0, "Video", "h264", -90.0),
        (1, "Audio", "aac", 0.0),
    ]


def test_the_messages_of_a_log():
    frame = "[Parsed_ashowinfo_0 @ 0x1] n:0 pts:4800 pts_time:{} fmt:fltp channels:{} chlayout:stereo\n"
    log = read_log(HEADER + frame.format("0.1", 2) + frame.format("9", 1) + "size= 1kB time=00:00:07.50 bitrate=N/A\n")
    assert (log.channels, log.audio_start, log.position) == (2, 0.1, 7.5)
    assert (log.lacks_index, log.ended_early, log.is_duration_estimated) == (False, False, False)
    assert read_log(HEADER + "[in#0 @ 0x1] /tmp/x: partial file\n").ended_early
    assert read_log("[mov @ 0x1] moov atom not found\n").lacks_index


PIECES = ["[Eval @ 0x7f3a] ", "", "[x @ 0x1] n:0 nb_samples:1024", "  Stream #1:0(und)"]


@pytest.mark.parametrize("before", PIECES)
def test_the_gaps_of_a_log(before):
    """Whatever a line's other pieces are: threads write in turns."""
    numbers = ("1000000001.000000", "2000007199.000000", "1000000003.500000", "2000000061.250000")
    log = read_log(HEADER + "".join(f"{before}{number}\n" for number in numbers))
    assert log.gaps == [(1.0, 7199.0), (3.5, 61.25)]


@pytest.mark.parametrize("before", PIECES)
def test_the_messages_of_a_log_after_pieces_of_other_threads(before):
    messages = (
        "n:0 pts:4800 pts_time:0.1 fmt:fltp channels:2 chlayout:stereo rate:48000 nb_samples:1024 checksum:0A plane_",
        "Decoding error: Invalid data found when processing input",
        "file:/tmp/x: partial file",
        "size= 1kB time=00:00:07.50 bitrate=N/A",
    )
    log = read_log(HEADER + "".join(f"{before}{message}\n" for message in messages))
    assert (log.audio_start, log.channels, log.position) == (0.1, 2, 7.5)
    assert (log.damaged_packets, log.ended_early) == (1, True)


def tag(source: Path, text: str) -> Path:
    """8 s of a tone, titled as a whole and as a track: ffmpeg would log both again for each output."""
    tags = ("-metadata", f"title={text}", "-metadata:s:a:0", f"title={text}")
    encode("-f", "lavfi", "-i", "sine=440:duration=8", *tags, str(source))
    return source


@pytest.mark.parametrize("title", ["2000000100.000000", "a: partial file"])
def test_a_title_is_no_message_of_ffmpeg(title, folder):
    audio = record(tag(folder.parent / "titled.mka", title), folder)
    assert len(audio.channels[0]) == pytest.approx(8 * SAMPLE_RATE, abs=0.1 * SAMPLE_RATE)
    assert audio.warnings == []


def test_a_title_hides_no_cut(folder):
    source = tag(folder.parent / "titled.flac", "time=01:00:00.00")
    source.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    assert "declares 8.0 s but only" in record(source, folder).warnings[0]


def test_a_chapter_is_no_message_of_ffmpeg(folder):
    chapters, source = folder.parent / "chapters.txt", folder.parent / "chapters.mka"
    chapters.write_text(";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1\nSTART=0\nEND=2000000100\n")
    encode("-f", "lavfi", "-i", "sine=440:duration=8", "-i", str(chapters), "-map_chapters", "1", str(source))
    assert len(decode(source, folder)) == pytest.approx(8 * SAMPLE_RATE, abs=0.1 * SAMPLE_RATE)


def test_an_endless_log_takes_little_memory():
    header = HEADER.removesuffix("Stream mapping:\n")
    log = read_log(header + "  Stream #0:1: Audio: x\n" * 2000 + "Error " * 100_000)
    assert len(log.streams) == 100
    assert len(log.errors) == 3000


# Denoising and the executable


def test_denoise_lowers_noise_and_keeps_the_length(folder):
    source = folder.parent / "noisy.wav"
    noisy = "anoisesrc=color=white:amplitude=0.02:duration=6:seed=1"
    encode("-f", "lavfi", "-i", noisy, str(source))
    plain = np.array(decode(source, folder), dtype=np.float64)
    clean = np.array(decode(source, folder, denoise=True), dtype=np.float64)
    assert len(clean) == pytest.approx(len(plain), abs=0.05 * SAMPLE_RATE)
    assert np.mean(clean[2 * SAMPLE_RATE :] ** 2) < 0.5 * np.mean(plain[2 * SAMPLE_RATE :] ** 2)


@pytest.fixture
def fresh_lookup():
    """Forgets which ffmpeg was found, before and after the test."""
    ffmpeg_executable.cache_clear()
    yield
    ffmpeg_executable.cache_clear()


def test_the_ffmpeg_on_the_path_comes_first(fresh_lookup, tmp_path, monkeypatch):
    program = tmp_path / "ffmpeg"
    program.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert ffmpeg_executable() == str(program)


def test_a_missing_ffmpeg_is_an_error(fresh_lookup, monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(FfmpegMissing, match="ffmpeg is not installed"):
        ffmpeg_executable()
    with pytest.raises(WorkerError, match="ffmpeg is not installed"):
        compile_command(ffmpeg.output(ffmpeg.input("anullsrc"), "-"), ProcessLimits(1, 0))
