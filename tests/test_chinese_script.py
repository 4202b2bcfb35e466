"""Chinese text is written in the script that was asked for, with the words and times that it had."""

from __future__ import annotations

import pytest

from transcript.chinese_script import ChineseScript, convert_transcript, in_script, is_chinese
from transcript.transcript import Segment, Transcript, Word

CHINESE = Transcript("zh", 1.0, 1.0)


def segment(*words: str, language: str | None = None) -> Segment:
    timed = [Word(word, float(at), at + 0.5, 0.9) for at, word in enumerate(words)]
    return Segment(0, 0, 0.0, float(len(words)), "".join(words), [1], 0.0, -0.2, 1.0, 0.0, timed, language)


@pytest.mark.parametrize(
    ("script", "heard", "written"),
    [
        ("simplified", ["頭髮", "發展", "了"], ["头发", "发展", "了"]),
        ("simplified", ["著作", "權", "為", "著"], ["著作", "权", "为", "着"]),
        ("simplified", ["裡面", "裏面"], ["里面", "里面"]),
        ("simplified", ["已经", "简化", "，", "OK"], ["已经", "简化", "，", "OK"]),
        ("traditional", ["头", "发", "发", "展"], ["頭", "髮", "發", "展"]),
        ("traditional", ["皇", "后", "后", "来", "公", "里", "里面"], ["皇", "后", "後", "來", "公", "里", "裡面"]),
        ("traditional", ["乾淨", "幹部", "後來", "關係"], ["乾淨", "幹部", "後來", "關係"]),
        ("traditional", [" Whisper", " 的", "2026年"], [" Whisper", " 的", "2026年"]),
        ("traditional", ["軟件", "视频"], ["軟件", "視頻"]),
    ],
)
def test_words_are_converted_in_context_and_stay_words(
    script: ChineseScript, heard: list[str], written: list[str]
) -> None:
    converted = in_script(segment(*heard), script, CHINESE)
    assert converted.text == "".join(written)
    assert [word.word for word in converted.words or []] == written
    assert [(word.start, word.end) for word in converted.words or []] == [
        (float(at), at + 0.5) for at in range(len(heard))
    ]


@pytest.mark.parametrize(
    ("language", "of_segment", "converted"),
    [("zh", None, True), ("yue", None, True), ("en", "zh", True), ("zh", "ja", False), ("ja", None, False)],
)
def test_only_chinese_is_converted(language: str, of_segment: str | None, converted: bool) -> None:
    transcript = Transcript(language, 1.0, 1.0, [segment("會", "議", language=of_segment)])
    convert_transcript(transcript, "simplified")
    assert transcript.segments[0].text == ("会议" if converted else "會議")


def test_a_translation_is_not_chinese() -> None:
    transcript = Transcript("zh", 1.0, 1.0, [segment(" Meeting")], task="translate")
    assert not is_chinese(transcript.segments[0], transcript)


def test_a_segment_without_words_and_a_job_without_the_option() -> None:
    plain = segment("會議")
    plain.words = None
    assert in_script(plain, "simplified", CHINESE).text == "会议"
    assert in_script(plain, None, CHINESE) is plain
