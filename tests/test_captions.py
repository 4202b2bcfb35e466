"""Captions in videos: added text is there and is read back from the picture, and everything else is unchanged."""

from __future__ import annotations

import io
import re
import subprocess
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import imageio_ffmpeg
import manimgx_fonts
import manimgx_fonts_cjk
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from rapidocr import RapidOCR
from rapidocr.ch_ppocr_rec.typings import TextRecOutput
from whisper.tokenizer import LANGUAGES

from media.captions import Captions
from media.containers import MKV, MOV, MP4, language_tag
from media.fonts import NoFont, choose_fonts, find_faces, main
from media.sandbox import ffmpeg_executable
from media.video import Track, Video
from src.captions.embed import CaptionedVideo, EmbedJob, VideoLimits, burn, mux
from src.captions.fonts import check_family, check_language
from src.captions.probe import check_drawable, probe_video
from src.errors import Cancelled, CaptionsFailed, InvalidInput, TooLarge, UnsupportedMedia
from src.job_control import JobControl
from transcript.formats.ass import Style, to_ass_overlay
from transcript.formats.cues import CLOSING_MARK, OPENING_MARKS, Cue, mark_directions
from transcript.formats.srt_vtt_tsv import to_srt
from transcript.formats.timed_words import TimedWord

pytestmark = pytest.mark.process

NOTO = Path(manimgx_fonts.__file__).parent
CJK = Path(manimgx_fonts_cjk.__file__).parent
FONTS = (NOTO, CJK)
AMPLE = VideoLimits(seconds=3600, bytes=1 << 30)

SOUND = "-f lavfi -i sine=330:duration=4 -f lavfi -i sine=660:duration=4"
PICTURE = "-f lavfi -i testsrc2=size=640x360:rate=25:duration=4"
SMALL = PICTURE.replace("640x360", "160x90")
GRAY = "-f lavfi -i color=0x404040:size=640x360:rate=10:duration=4"
ALL = "-map 0 -map 1 -map 2 -metadata:s:a:1 language=fra -metadata title=Talk"
VP8 = "-c:v libvpx -deadline realtime -cpu-used 8 -threads 1"  # threads of libvpx spin where others compute
X264 = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p"

CHAPTERS = """;FFMETADATA1
[CHAPTER]
TIMEBASE=1/1000
START=0
END=1500
title=First
[CHAPTER]
TIMEBASE=1/1000
START=1500
END=4000
title=Second
"""


def cue(text: str, start: int = 1000, end: int = 3000) -> Cue:
    """A cue of one line, whose words take equal times."""
    words = text.split(" ")
    step = (end - start) // len(words)
    line = [
        TimedWord(" " * (at > 0) + word, start + at * step, start + (at + 1) * step) for at, word in enumerate(words)
    ]
    return Cue(start, end, [line])


def captions_of(*texts: str, language: str = "en", highlight: bool = False) -> Captions:
    return Captions(
        [cue(text, 1000 + 1000 * at, 2000 + 1000 * at) for at, text in enumerate(texts)], language, highlight
    )


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Makes a video by ffmpeg's arguments, the last of which is its name; each video only once."""
    folder = tmp_path_factory.mktemp("films")
    (folder / "chapters.txt").write_text(CHAPTERS)

    @cache
    def make(arguments: str) -> Path:
        name = arguments.rpartition(" ")[2]
        place = folder / str(len(list(folder.iterdir())))
        place.mkdir()
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *arguments.split(" ")[:-1], str(place / name)]
        subprocess.run(command, check=True, cwd=folder)
        return place / name

    return make


def mux_file(source: Path, folder: Path, *tracks: Captions, limits: VideoLimits = AMPLE) -> CaptionedVideo:
    control = JobControl()
    return mux(EmbedJob(probe_video(source, control), folder, limits, control), tracks)


def burn_file(
    source: Path,
    folder: Path,
    captions: Captions,
    style: Style | None = None,
    *,
    limits: VideoLimits = AMPLE,
    control: JobControl | None = None,
    font_folders: tuple[Path, ...] = FONTS,
    encoders: list[str] | None = None,
) -> CaptionedVideo:
    control = control or JobControl()
    job = EmbedJob(probe_video(source, control), folder, limits, control)
    return burn(job, captions, style or Style(), font_folders=font_folders, encoders=encoders)


# The content of a file


def packets(path: Path, kind: str) -> list[tuple[float, bytes]]:
    """Time and bytes of each packet of the tracks of one kind."""
    with av.open(str(path)) as file:
        chosen = [stream for stream in file.streams if stream.type == kind]
        return [(round(float(p.pts * p.time_base), 3), bytes(p)) for p in file.demux(chosen) if p.size]


def times(path: Path) -> list[float]:
    with av.open(str(path)) as file:
        return [float(frame.pts * frame.time_base) for frame in file.decode(video=0)]


def picture(path: Path, second: float) -> NDArray[np.uint8]:
    """The frame at that second, rotated as by a player: [height, width, RGB]."""
    command = [ffmpeg_executable(), "-v", "error", "-ss", str(second), "-i", str(path), "-frames:v", "1"]
    done = subprocess.run([*command, "-f", "image2pipe", "-c:v", "bmp", "-"], check=True, capture_output=True)
    return np.array(Image.open(io.BytesIO(done.stdout)).convert("RGB"))


def subtitles(path: Path) -> list[tuple[str, list[tuple[float, str]]]]:
    """The language of each track of subtitles, with its times and texts."""
    tracks: dict[int, tuple[str, list[tuple[float, str]]]] = {}
    with av.open(str(path)) as file:
        chosen = [stream for stream in file.streams if stream.type == "subtitle"]
        is_mp4 = "mp4" in file.format.name
        for stream in chosen:
            tracks[stream.index] = (str(stream.language), [])
        for packet in file.demux(chosen):
            data = bytes(packet)
            if is_mp4:  # two bytes of length, the text, and boxes of its style
                data = data[2 : 2 + int.from_bytes(data[:2], "big")]
            if data:
                tracks[packet.stream_index][1].append((float(packet.pts * packet.time_base), data.decode()))
    return list(tracks.values())


def facts(path: Path) -> dict[str, Any]:
    """The properties of a file that must not change."""
    with av.open(str(path)) as file:
        return {
            "title": file.metadata.get("title") or file.metadata.get("TITLE"),
            "chapters": [
                (round(float(chapter["start"] * chapter["time_base"]), 2), chapter["metadata"]["title"])
                for chapter in file.chapters()
            ],
            "sound": [str(stream.language) for stream in file.streams.audio],
        }


@cache
def reader() -> RapidOCR:
    return RapidOCR(params={"Global.log_level": "error"})


def read(strip: NDArray[np.uint8]) -> str:
    """Reads one line of text by OCR."""
    found = reader()(strip[:, :, ::-1].copy(), use_det=False, use_cls=False)
    assert isinstance(found, TextRecOutput)
    return "".join(found.txts or ())


def line_at(frame: NDArray[np.uint8], background: int = 0x40) -> NDArray[np.uint8]:
    """The part of a frame that differs from its plain background, with a margin of 8 pixels."""
    rows, columns = np.nonzero((np.abs(frame.astype(int) - background) > 40).any(axis=2))
    top, left = max(0, rows.min() - 8), max(0, columns.min() - 8)
    return frame[top : rows.max() + 8, left : columns.max() + 8]


def ink(strip: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The brightness of the letters alone, scaled to one size."""
    bright = strip[:, :, 1].astype(int)
    rows, columns = np.nonzero(bright > 160)
    cropped = strip[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1, 1]
    return np.asarray(Image.fromarray(cropped).resize((300, 30)), dtype=float)


def drawn_by_pillow(text: str, language: str) -> NDArray[np.uint8]:
    """The text as drawn by Pillow, which shapes letters with another library than libass."""
    face = choose_fonts(text, None, language, FONTS).faces[-1]
    image = Image.new("RGB", (1200, 120), (0x40, 0x40, 0x40))
    direction = "rtl" if language == "ar" else "ltr"
    font = ImageFont.truetype(str(face.file), 36, index=face.index, layout_engine=ImageFont.Layout.RAQM)
    font.set_variation_by_axes([400.0] + [100.0] * (len(font.get_variation_axes()) - 1))
    ImageDraw.Draw(image).text((20, 20), text, font=font, fill=(255, 255, 255), direction=direction)
    return np.asarray(image)


def correlation(strip: NDArray[np.uint8], text: str, language: str = "en") -> float:
    """How much a strip of a frame looks like a text: 1 is equal."""
    return float(np.corrcoef(ink(strip).ravel(), ink(drawn_by_pillow(text, language)).ravel())[0, 1])


LATIN = ["Hello there", "Upright", "Well  done", "Well XX done", "alpha beta gamma delta"]
"""The texts of tests without OCR: a strip has to look like one of them, and like none of the others."""

CLEAR = Style(size=10, outline_color="#404040")
"""Letters that are large enough to compare, with an outline in the colour of the background."""


def assert_shows(strip: NDArray[np.uint8], text: str) -> None:
    correlations = {candidate: correlation(strip, candidate) for candidate in LATIN}
    assert max(correlations, key=lambda candidate: correlations[candidate]) == text, correlations
    assert correlations[text] > 0.55 > 0.45 > sorted(correlations.values())[-2], correlations
    assert correlation(strip[::-1, ::-1], text) < 0.45  # it is not upside down


# A track of captions


@pytest.mark.parametrize(
    ("made", "kind", "language"),
    [
        (f"{SMALL} {SOUND} -i chapters.txt {ALL} -map_chapters 3 {X264} -c:a aac a.mp4", "mp4", "deu"),
        (f"{SMALL} {SOUND} -i chapters.txt {ALL} -map_chapters 3 {X264} -c:a pcm_s16le a.mov", "mov", "ger"),
        (f"{SMALL} {SOUND} -i chapters.txt {ALL} -map_chapters 3 {X264} -c:a libmp3lame a.mkv", "mkv", "ger"),
        (
            f"{SMALL} {SOUND} {ALL} {VP8} -c:a libopus a.webm",
            "webm",
            "ger",
        ),
        (f"{SMALL} {SOUND} {ALL} -c:v mpeg4 -bf 2 -c:a libmp3lame a.avi", "mkv", "ger"),
        (f"{SMALL} {SOUND} {ALL} {X264} -c:a aac a.ts", "mkv", "ger"),
    ],
    ids=lambda value: value.rpartition(" ")[2],
)
def test_a_track_is_added_and_nothing_else_changes(
    film: Callable[..., Path], tmp_path: Path, made: str, kind: str, language: str
) -> None:
    source = film(made)
    done = mux_file(
        source,
        tmp_path,
        captions_of("Guten Tag", "zusammen", language="de"),
        captions_of("Good day", "all", language="en"),
    )
    assert (done.container, done.encoder, done.path.suffix) == (kind, None, f".{kind}")
    assert bool(done.warnings) == (source.suffix != f".{kind}")
    (german, texts), (english, others) = subtitles(done.path)
    assert (german, english) == (language, "eng")
    assert texts == [(1.0, "Guten Tag"), (2.0, "zusammen")]
    assert others == [(1.0, "Good day"), (2.0, "all")]
    if source.suffix not in (".avi", ".ts"):  # these split the stream into other packets
        for kind_of_track in ("video", "audio"):
            assert packets(done.path, kind_of_track) == packets(source, kind_of_track)
    assert len(times(done.path)) == 100
    assert len(facts(done.path)["sound"]) == 2
    if source.suffix in (".mp4", ".mov", ".mkv"):
        assert facts(done.path) == facts(source)
        assert facts(source)["chapters"] == [(0.0, "First"), (1.5, "Second")]
    assert seconds(done.path) == pytest.approx(seconds(source), abs=0.1)


def seconds(path: Path) -> float:
    with av.open(str(path)) as file:
        return (file.duration or 0) / 1e6


def test_existing_subtitles_are_kept(film: Callable[..., Path], tmp_path: Path) -> None:
    source = film(f"{SMALL} {SOUND} {ALL} {X264} -c:a aac b.mp4")
    once, twice = tmp_path / "once", tmp_path / "twice"
    once.mkdir()
    twice.mkdir()
    first = mux_file(source, once, captions_of("One", language="fr")).path
    assert subtitles(mux_file(first, twice, captions_of("Two")).path) == [
        ("fra", [(1.0, "One")]),
        ("eng", [(1.0, "Two")]),
    ]


def test_covers_timecodes_and_the_order_of_tracks_are_kept(film: Callable[..., Path], tmp_path: Path) -> None:
    plain = film(f"{SMALL} {SOUND} {ALL} {X264} -c:a aac b.mp4")
    cover = film("-f lavfi -i color=red:size=64x64 -frames:v 1 cover.jpg")
    covered = film(f"-i {plain} -i {cover} -map 0 -map 1 -c copy -disposition:v:1 attached_pic d.mp4")
    timed = film(f"-i {plain} -c copy -map 0 -timecode 01:00:00:00 d.mov")
    matroska = film(f"-i {plain} -map 0 -c copy -attach {cover} -metadata:s:t mimetype=image/jpeg d.mkv")
    kinds = {}
    for source in (covered, timed, matroska):
        for make in (mux_file, burn_file):
            folder = tmp_path / f"{source.name}-{make.__name__}"
            folder.mkdir()
            done = make(source, folder, captions_of("x"))
            tracks = [track for track in probe_video(done.path, JobControl()).tracks if track.kind != "Subtitle"]
            kinds[folder.name] = [(track.codec, track.is_moving_picture) for track in tracks], done.warnings
    film_and_sound = [("h264", True), ("aac", False), ("aac", False)]
    assert kinds["d.mp4-mux_file"] == kinds["d.mp4-burn_file"] == ([*film_and_sound, ("mjpeg", False)], [])
    assert kinds["d.mov-mux_file"] == kinds["d.mov-burn_file"] == ([*film_and_sound, ("none", False)], [])
    lacking = ["the captioned video lacks tracks that its file cannot hold: cover (mjpeg)"]
    assert kinds["d.mkv-mux_file"] == kinds["d.mkv-burn_file"] == (film_and_sound, lacking)


HOSTILE = ["{\\an8}<b>up</b>", "C:\\new \\N\\h &amp; {", "}{\\fs200}big", "a --> b \\", "{", "％{\\p1}m 0 0{\\"]


def test_markup_in_a_text_stays_text_in_a_track(film: Callable[..., Path], tmp_path: Path) -> None:
    source = film(f"{SMALL} {SOUND} {ALL} {X264} -c:a aac b.mp4")
    cues = [cue(text, 300 * at, 300 * at + 300) for at, text in enumerate(HOSTILE)]
    for highlight in (False, True):
        folder = tmp_path / str(highlight)
        folder.mkdir()
        ((_, texts),) = subtitles(mux_file(source, folder, Captions(cues, "en", highlight)).path)
        assert {text.replace("\u2060", "") for _, text in texts} == set(HOSTILE)


def test_each_language_of_whisper_has_a_tag() -> None:
    from whisper.tokenizer import LANGUAGES

    assert all(len(language_tag(code, container)) == 3 for code in LANGUAGES for container in (MP4, MKV))
    assert language_tag("zh", MKV) == "chi"
    assert language_tag("jw", MP4) == "jav"
    assert language_tag("fr", MOV) == "fra"


# Captions drawn into the picture


def test_captions_are_drawn_at_their_place_and_nowhere_else(film: Callable[..., Path], tmp_path: Path) -> None:
    source = film(f"{PICTURE} {SOUND} -i chapters.txt {ALL} -map_chapters 3 {X264} -crf 12 -c:a aac c.mp4")
    done = burn_file(source, tmp_path, captions_of("The quick brown fox"), Style(box_color="#000000"))
    assert (done.container, done.encoder, done.warnings) == ("mp4", "libx264", [])
    before, after = picture(source, 1.5).astype(int), picture(done.path, 1.5).astype(int)
    assert np.abs(before[:280] - after[:280]).mean() < 4
    assert np.abs(before[290:350, 200:440] - after[290:350, 200:440]).mean() > 40
    box = np.all(after < 24, axis=2)
    rows = np.flatnonzero(box[:, 320 - 60 : 320 + 60].mean(axis=1) > 0.3)
    assert read(after[rows.min() : rows.max() + 1, 200:440].astype(np.uint8)).replace(" ", "") == "Thequickbrownfox"
    for second in (0.9, 2.1):
        assert np.abs(picture(source, second).astype(int) - picture(done.path, second).astype(int)).mean() < 4
    assert facts(done.path) == facts(source)
    assert packets(done.path, "audio") == packets(source, "audio")
    assert times(done.path) == times(source)
    assert seconds(done.path) == pytest.approx(seconds(source), abs=0.05)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("made", "shown", "kind"),
    [
        (f"{GRAY} -vf select='not(mod(n,3))+gt(n,24)',settb=1/90000 -fps_mode vfr {X264} v.mp4", (360, 640), "mp4"),
        (
            f"{GRAY} {SOUND} {ALL} {VP8} -c:a libopus v.webm",
            (360, 640),
            "mkv",
        ),
        (f"{GRAY} -vf scale=641:361 -c:v mpeg4 -pix_fmt yuv420p v.avi", (362, 642), "mkv"),
        (f"{GRAY} -vf scale=640:360,setsar=2 {X264} v.mkv", (360, 640), "mkv"),
    ],
    ids=["variable rate", "webm", "odd size", "wide pixels"],
)
def test_timestamps_and_shape_of_the_picture_are_kept(
    film: Callable[..., Path], tmp_path: Path, made: str, shown: tuple[int, int], kind: str
) -> None:
    source = film(made)
    done = burn_file(source, tmp_path, captions_of("Hello there"), CLEAR)
    assert done.container == kind
    assert times(done.path) == pytest.approx(times(source), abs=0.0011)
    frame = picture(done.path, 1.5)
    assert frame.shape[:2] == shown
    frame = frame[:360, :640]  # without the line that makes an odd size even
    if "setsar" in made:  # letters keep their width on the screen
        frame = np.repeat(frame, 2, axis=1)
    assert_shows(line_at(frame), "Hello there")


@pytest.mark.slow
@pytest.mark.parametrize("turn", [90, 180, -90])
def test_a_rotated_video_has_upright_captions(film: Callable[..., Path], tmp_path: Path, turn: int) -> None:
    corner = "drawbox=x=10:y=10:w=30:h=20:color=red:t=fill"
    plain = film(f"-f lavfi -i color=0x404040:size=320x240:rate=25:duration=3,{corner} {X264} -crf 10 t.mp4")
    source = film(f"-display_rotation {turn} -i {plain} -c copy t{turn}.mp4")
    done = burn_file(source, tmp_path, captions_of("Upright"), Style(size=12))
    before, after = picture(source, 1.5), picture(done.path, 1.5)
    assert after.shape == before.shape
    middle = slice(after.shape[1] // 5, -after.shape[1] // 5)
    assert_shows(line_at(after[:, middle]), "Upright")
    after[:, middle] = before[:, middle]
    assert np.abs(before.astype(int) - after).mean() < 2  # the corner is where it was


@pytest.mark.slow
def test_the_word_that_is_spoken_has_its_colour(film: Callable[..., Path], tmp_path: Path) -> None:
    source = film(f"{GRAY} {X264} g.mp4")
    words = Captions([cue("alpha beta gamma delta", 0, 4000)], "en", highlight=True)
    done = burn_file(source, tmp_path, words, Style(highlight_color="#00FF00"))
    places = []
    for second in (0.5, 1.5, 2.5, 3.5):
        frame = picture(done.path, second)
        red, green, blue = np.moveaxis(frame.astype(int), 2, 0)
        places.append(np.nonzero((green > 150) & (red < 110) & (blue < 110))[1])
        assert_shows(line_at(frame), "alpha beta gamma delta")
    assert all(left.max() < right.min() for left, right in pairwise(places))


@pytest.mark.slow
@pytest.mark.parametrize(("position", "third"), [("top", 0), ("middle", 1), ("bottom", 2)])
def test_position_colour_and_size_are_those_asked_for(
    film: Callable[..., Path], tmp_path: Path, position: Any, third: int
) -> None:
    style = Style(position=position, color="#FF0000", outline_color="#0000FF", size=10)
    frame = picture(burn_file(film(f"{GRAY} {X264} g.mp4"), tmp_path, captions_of("HIM"), style).path, 1.5).astype(int)
    rows, _ = np.nonzero(frame[:, :, 0] - frame[:, :, 1] > 120)
    assert {row // 120 for row in rows} == {third}
    assert 20 <= rows.max() - rows.min() <= 32  # capitals of a font of 36 pixels
    assert (frame[:, :, 2] - frame[:, :, 1] > 100).sum() > 100


@pytest.mark.slow
def test_markup_in_a_text_is_drawn_as_text(film: Callable[..., Path], tmp_path: Path) -> None:
    source = film(f"{GRAY} {X264} g.mp4")
    for number, text in enumerate(["{\\an8}{\\fs99}up", "{\\pos(9,9)}at C:\\new"]):
        folder = tmp_path / str(number)
        folder.mkdir()
        frame = picture(burn_file(source, folder, captions_of(text)).path, 1.5)
        line = line_at(frame)
        assert len(line) < 50
        assert (np.abs(frame[:280].astype(int) - 0x40) < 20).all()
        # The OCR, not the picture, loses a brace now and then.
        assert re.sub("[ {}]", "", read(line)) == re.sub("[ {}]", "", text)


# Fonts


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "language"),
    [("Cześć, jaźń", "pl"), ("你好世界。", "zh"), ("こんにちは世界", "ja"), ("mixed 世界 text", "en")],
)
def test_scripts_are_read_back(film: Callable[..., Path], tmp_path: Path, text: str, language: str) -> None:
    done = burn_file(film(f"{GRAY} {X264} g.mp4"), tmp_path, captions_of(text, language=language), Style(size=10))
    assert read(line_at(picture(done.path, 1.5))).replace(" ", "") == text.replace(" ", "")


SHAPED = {"Ελληνικά γράμματα": "el", "Съешь же ещё этих": "ru", "مرحبا بالعالم": "ar", "안녕하세요 여러분": "ko"}


@pytest.mark.slow
@pytest.mark.parametrize("text", SHAPED)
def test_scripts_that_the_ocr_does_not_know_look_as_drawn_by_pillow(
    film: Callable[..., Path], tmp_path: Path, text: str
) -> None:
    done = burn_file(film(f"{GRAY} {X264} g.mp4"), tmp_path, captions_of(text, language=SHAPED[text]), CLEAR)
    strip = line_at(picture(done.path, 1.5))
    correlations = {candidate: correlation(strip, candidate, language) for candidate, language in SHAPED.items()}
    assert max(correlations, key=lambda candidate: correlations[candidate]) == text
    assert correlations[text] > 0.55 > 0.4 > sorted(correlations.values())[-2]


WITHOUT_FONT = {
    "привет 世界": ("CJK", "fonts-noto-cjk"),
    "한국어": ("Hangul", "fonts-noto-cjk"),
    "ᚠᚢ": ("Runic", "fonts-noto-core"),
}


@pytest.mark.parametrize("text", WITHOUT_FONT)
def test_a_script_without_a_font_is_named_with_its_remedy(film: Callable[..., Path], tmp_path: Path, text: str) -> None:
    named, package = WITHOUT_FONT[text]
    with pytest.raises(CaptionsFailed, match=f"no font for {named} .*{package}"):
        burn_file(film(f"{GRAY} {X264} g.mp4"), tmp_path, captions_of(text), font_folders=(NOTO,))
    assert not (tmp_path / "captioned.mp4").exists()


def test_a_language_without_a_font_is_named_before_it_is_heard() -> None:
    without: dict[str, str] = {}
    for language in LANGUAGES:
        try:
            check_language(language, (NOTO,))
        except InvalidInput as error:
            without[language] = str(error)
    assert sorted(without) == ["bo", "ja", "ko", "yue", "zh"]
    check_language("zh", FONTS)
    assert without["zh"].startswith("captions: there is no font for CJK ('语'): install one, such as Debian's ")
    assert without["zh"].endswith("fonts-noto-cjk, or set FONT_DIR; or leave captions out")


def test_symbols_without_a_font_are_left_out(film: Callable[..., Path], tmp_path: Path) -> None:
    done = burn_file(film(f"{GRAY} {X264} g.mp4"), tmp_path, captions_of("Well 🂡🂡 done"), CLEAR, font_folders=(NOTO,))
    assert_shows(line_at(picture(done.path, 1.5)), "Well  done")


def test_han_characters_have_the_shapes_of_their_language() -> None:
    families = [choose_fonts("直", None, code, FONTS).faces[-1].family for code in ("zh", "ja", "ko", "yue")]
    assert families == [f"Noto Sans CJK {region}" for region in ("SC", "JP", "KR", "HK")]


def test_letters_of_all_scripts_are_of_one_size() -> None:
    """A line of Arabic takes 2.2 times its font's size, of Latin 1.5: by libass's measure, Arabic would be tiny."""
    fonts = choose_fonts("H م", None, "ar", FONTS)
    latin, arabic = fonts.faces
    assert arabic.line_height > 1.4 * latin.line_height
    text = to_ass_overlay([cue("H م")], Style(size=10), (1920, 1080), fonts.split_by_font, "ar", False)
    for face in fonts.faces:
        assert f"{{\\fn{face.family}\\fs{108 * face.line_height:.2f}}}" in text


def test_a_font_is_used_by_its_name_or_refused(film: Callable[..., Path], tmp_path: Path) -> None:
    assert choose_fonts("abc", "noto sans armenian", "en", FONTS).faces[0].family == "Noto Sans Armenian"
    check_family("noto sans", FONTS)
    with pytest.raises(InvalidInput, match='did you mean "Noto Sans"'):
        check_family("Noto Sanz", FONTS)
    for hostile in ("Sans\\N{\\an8}", "x,99,&H0", "../../etc/passwd", "a'b:c=[d]"):
        with pytest.raises(InvalidInput, match="no font of that name"):
            check_family(hostile, FONTS)


def test_fonts_are_listed_by_script(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(FONTS) == 0
    assert "Cyrillic: Noto Sans\n" in (printed := capsys.readouterr().out)
    assert "Arabic: Noto Sans Arabic\n" in printed
    assert main((NOTO,)) == 1
    assert "Korean: there is no font for Hangul" in (printed := capsys.readouterr().out)
    assert "Greek: Noto Sans\n" in printed


def test_without_any_font_the_error_names_a_package(tmp_path: Path) -> None:
    assert find_faces((tmp_path,)) == []
    with pytest.raises(NoFont, match="fonts-noto-core"):
        choose_fonts("abc", None, "en", (tmp_path,))


# Limits


@pytest.mark.parametrize(
    "made",
    [
        f"{SOUND} -map 0 s.mp3",
        f"{GRAY} {SOUND} -map 1:a -map 0:v -frames:v 1 -c:v mjpeg -disposition:v attached_pic s.mp3",
    ],
)
def test_a_recording_without_a_moving_picture_is_refused(film: Callable[..., Path], made: str) -> None:
    with pytest.raises(UnsupportedMedia, match="captions need a video, and the recording has none"):
        probe_video(film(made), JobControl())


@pytest.mark.parametrize("data", [b"", b"no video at all", b"#EXTM3U\nhttp://127.0.0.1/x.mp4\n"])
def test_a_file_that_is_no_video_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.mp4").write_bytes(data)
    with pytest.raises(UnsupportedMedia, match="not audio or video"):
        probe_video(tmp_path / "x.mp4", JobControl())


def test_too_large_a_picture_and_too_long_a_video_are_refused(film: Callable[..., Path]) -> None:
    huge = probe_video(film("-f lavfi -i color=red:size=8000x4000:rate=1:duration=1 -c:v mpeg4 h.mp4"), JobControl())
    with pytest.raises(TooLarge, match=r"8000 x 4000.*mux"):
        check_drawable(huge, AMPLE.seconds)
    plain = probe_video(film(f"{GRAY} {X264} g.mp4"), JobControl())
    check_drawable(plain, AMPLE.seconds)
    with pytest.raises(TooLarge, match="4 s long"):
        check_drawable(plain, 2)


def test_a_picture_without_a_size_is_not_drawn_into(tmp_path: Path) -> None:
    video = Video(tmp_path / "forged.mp4", "mov", 4.0, [Track(0, "Video", "mjpeg", width=0, height=0)])
    with pytest.raises(UnsupportedMedia, match="size of the picture is unknown"):
        check_drawable(video, AMPLE.seconds)


def test_a_result_over_the_limit_is_refused(film: Callable[..., Path], tmp_path: Path) -> None:
    source = film(f"{PICTURE} {SOUND} {ALL} {X264} -c:a aac b.mp4")
    makers: list[Callable[..., CaptionedVideo]] = [mux_file, burn_file]
    for number, make in enumerate(makers):
        folder = tmp_path / str(number)
        folder.mkdir()
        with pytest.raises(TooLarge, match=r"larger than the limit of 0\.1 MB"):
            make(source, folder, captions_of("x"), limits=replace(AMPLE, bytes=100_000))


def test_a_job_that_is_stopped_ends_at_once(film: Callable[..., Path], tmp_path: Path) -> None:
    short = film("-f lavfi -i testsrc2=size=640x360:rate=25:duration=9 -c:v mpeg4 -q:v 9 short.mp4")
    source = film(f"-stream_loop 39 -i {short} -c copy long.mp4")
    control = JobControl()
    reports: list[tuple[str, float, float]] = []

    def on_progress(stage: str, done: float, total: float) -> None:
        reports.append((stage, done, total))
        if done > 0 and len(reports) < 20:
            stopper = threading.Thread(target=control.cancel, args=["the job was cancelled"])
            stopper.start()
            stopper.join()

    control.listen(on_progress)
    with pytest.raises(Cancelled, match="the job was cancelled"):
        burn_file(source, tmp_path, captions_of("x"), control=control)
    assert reports[0][0] == "captioning"
    assert reports[-1][2] == pytest.approx(360, abs=1)
    assert 0 < reports[-1][1] < 180


def test_captioning_that_stalls_is_stopped(
    film: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = probe_video(film(f"{GRAY} {X264} g.mp4"), JobControl())
    sleeping = tmp_path / "ffmpeg"
    sleeping.write_text("#!/bin/sh\nexec /bin/sleep 60\n")
    sleeping.chmod(0o755)
    monkeypatch.setattr("media.sandbox.ffmpeg_executable", lambda: str(sleeping))
    job = EmbedJob(video, tmp_path, AMPLE, JobControl(), stall_seconds=0.3)
    with pytest.raises(CaptionsFailed, match="stalled"):
        mux(job, [captions_of("x")])


def test_x264_is_the_fallback_of_the_gpus_encoder(film: Callable[..., Path], tmp_path: Path) -> None:
    """Even after a successful trial: a GPU may be at its limit of encodings, or may not encode this size."""
    made = f"-f lavfi -i color=gray:size=32x32:rate=5:duration=1 {X264} small.mp4"  # too small for NVENC anywhere
    done = burn_file(film(made), tmp_path, captions_of("x"), encoders=["h264_nvenc", "libx264"])
    assert done.encoder == "libx264"


def test_a_damaged_picture_gives_an_error_sentence(film: Callable[..., Path], tmp_path: Path) -> None:
    source = film(f"{SMALL} {SOUND} {ALL} {X264} -c:a aac b.mp4")
    data = bytearray(source.read_bytes())
    at = data.index(b"avcC")
    data[at + 4 : at + 40] = bytes(36)
    (tmp_path / "x.mp4").write_bytes(data)
    with pytest.raises(CaptionsFailed, match="captions cannot be drawn into the picture: ") as error:
        burn_file(tmp_path / "x.mp4", tmp_path, captions_of("x"))
    assert str(tmp_path) not in str(error.value)


@pytest.mark.parametrize("text", ["مرحبا بالعالم.", "99 بالعالم مرحبا."])
def test_marks_of_direction_leave_a_picture_as_it_is(film: Callable[..., Path], tmp_path: Path, text: str) -> None:
    pictures = []
    for number, captioned in enumerate([text, f"{OPENING_MARKS}{text}{CLOSING_MARK}"]):
        folder = tmp_path / str(number)
        folder.mkdir()
        done = burn_file(film(f"{GRAY} {X264} g.mp4"), folder, captions_of(captioned, language="ar"), CLEAR)
        pictures.append(picture(done.path, 1.5))
    assert (pictures[0] == pictures[1]).all()


RIGHT_TO_LEFT = ["- שלום, מה שלומך?", "Python היא שפה.", "אני אוהב את Python!", "יש לי 3 ספרים (2020).", "- רק 50%..."]


def test_right_to_left_subrip_is_drawn_alike_whether_a_player_lays_out_from_the_left_or_by_letters(
    tmp_path: Path,
) -> None:
    """The player is libass, with the encodings 1 and -1."""
    cues = [cue(text, 1000 * at, 1000 * at + 1000)._replace(voice="Ada") for at, text in enumerate(RIGHT_TO_LEFT)]

    def drawn(cues: Sequence[Cue], style: str) -> NDArray[np.uint8]:
        (tmp_path / "a.srt").write_text(to_srt(cues))
        drawing = f"subtitles=a.srt:fontsdir={FONTS[0]}:force_style='{style}'"
        source = ["-f", "lavfi", "-i", f"color=black:size=640x64:rate=1:duration={len(cues)}"]
        output = ["-vf", drawing, "-f", "rawvideo", "-pix_fmt", "gray", "-"]
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *source, *output]
        raw = subprocess.run(command, check=True, cwd=tmp_path, capture_output=True)
        return np.frombuffer(raw.stdout, np.uint8).reshape(len(cues), -1)

    def are_alike(cues: Sequence[Cue]) -> list[bool]:
        from_left, by_letters = (drawn(cues, f"FontSize=100,Encoding={encoding}") for encoding in (1, -1))
        return [bool((left == right).all()) for left, right in zip(from_left, by_letters, strict=True)]

    assert are_alike(mark_directions(cues, "he")) == [True] * len(cues)
    with_rlm_alone = [each._replace(voice="\u200fAda") for each in cues]
    assert are_alike(with_rlm_alone) == [False] * len(cues)
