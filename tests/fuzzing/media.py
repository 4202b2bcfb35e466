"""Real recordings in many containers, and what can happen to their bytes on the way."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable
from pathlib import Path

from media.sandbox import ffmpeg_executable
from tests.support.clips import CLIPS

# Containers made of a second and a half of speech, and a picture where there is one: name, ffmpeg's options.
_MADE = {
    "speech.wav": "-c:a pcm_s16le",
    "float.wav": "-c:a pcm_f32le -ar 48000 -ac 2",
    "adpcm.wav": "-c:a adpcm_ima_wav -ar 16000",
    "speech.flac": "-c:a flac",
    "speech.mp3": "-c:a libmp3lame -b:a 32k",
    "opus.ogg": "-c:a libopus -b:a 24k",
    "vorbis.ogg": "-c:a libvorbis -ac 2 -ar 48000",
    "speech.m4a": "-c:a aac -b:a 32k",
    "index-first.m4a": "-c:a aac -b:a 32k -movflags +faststart",
    "fragments.mp4": "-c:a aac -b:a 32k -movflags frag_keyframe+empty_moov",
    "speech.mkv": "-c:a flac",
    "speech.webm": "-c:a libopus -b:a 24k",
    "speech.aac": "-c:a aac -b:a 32k -f adts",
    "speech.amr": "-c:a libopencore_amrnb -ar 8000 -ac 1",
    "speech.avi": "-c:a libmp3lame -b:a 32k",
    "speech.wma": "-c:a wmav2 -b:a 32k",
    "speech.ts": "-c:a aac -b:a 32k",
    "speech.aiff": "-c:a pcm_s16be",
    "speech.au": "-c:a pcm_mulaw -ar 8000",
    "speech.caf": "-c:a pcm_s16le",
    "speech.flv": "-c:a libmp3lame -ar 22050",
    "speech.wv": "-c:a wavpack",
    "speech.tta": "-c:a tta",
    "speech.w64": "-c:a pcm_s16le",
    "speech.ac3": "-c:a ac3 -ar 48000",
    "picture.mp4": "-c:a aac -c:v libx264 -preset ultrafast",
    "picture.webm": "-c:a libvorbis -ar 48000 -ac 2 -c:v libvpx -deadline realtime",
    "picture.avi": "-c:a libmp3lame -c:v mpeg4",
}
_SPEECH = ["-ss", "0.3", "-t", "1.5", "-i", str(CLIPS / "demo.ogg")]
_PICTURE = ["-f", "lavfi", "-i", "testsrc=size=64x48:rate=5:duration=1.5"]

# A file of more than two windows takes seconds: it comes seldom.
_RARE = "long.ogg"


def sources(folder: Path) -> tuple[dict[str, bytes], list[str]]:
    """The repository's clips and the containers that this ffmpeg can make, by name; and the names of the others."""
    found = {
        path.name: path.read_bytes() for path in sorted(CLIPS.iterdir()) if path.suffix not in (".json", ".txt", ".sh")
    }
    missing = []
    for name, options in _MADE.items():
        made = _make(folder / name, options.split())
        if made is None:
            missing.append(name)
        else:
            found[name] = made
    return found, missing


def _make(path: Path, options: list[str]) -> bytes | None:
    picture = _PICTURE if path.name.startswith("picture") else []
    exact = ["-map_metadata", "-1", "-fflags", "+bitexact", "-flags:a", "bitexact"]
    command = [ffmpeg_executable(), "-nostdin", "-v", "error", "-y", *_SPEECH, *picture, *options, *exact, str(path)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    return path.read_bytes() if done.returncode == 0 else None


class Mutator:
    """Draws mutated recordings; the same seed and number give the same one."""

    def __init__(self, seed: int, recordings: dict[str, bytes]) -> None:
        self._seed = seed
        self._recordings = recordings
        self._common = [name for name in recordings if name != _RARE]
        self._ways: dict[str, Callable[[bytes, random.Random], bytes]] = {
            "bits flipped": _flip,
            "bytes of the head flipped": _flip_head,
            "numbers of the head made extreme": _extreme,
            "cut out": _cut_out,
            "end cut off": _truncate,
            "beginning cut off": _behead,
            "bytes put in": _insert,
            "blocks swapped": _swap,
            "blocks repeated": _repeat,
            "another joined on": self._join,
            "another's head": self._head_of_another,
        }

    def draw(self, number: int) -> tuple[str, bytes]:
        """A description of the damage, and the damaged bytes."""
        dice = random.Random(f"{self._seed}/media/{number}")
        name = _RARE if dice.random() < 0.01 else dice.choice(self._common)
        data = self._recordings[name]
        ways = dice.choices(list(self._ways), k=dice.choice([1, 1, 1, 2, 3])) if dice.random() < 0.97 else []
        for way in ways:
            data = self._ways[way](data, dice)
        return f"{name}: {' + '.join(ways) or 'as it is'}", data

    def _another(self, dice: random.Random) -> bytes:
        return self._recordings[dice.choice(self._common)]

    def _join(self, data: bytes, dice: random.Random) -> bytes:
        both = [data, self._another(dice)]
        dice.shuffle(both)
        return b"".join(both)

    def _head_of_another(self, data: bytes, dice: random.Random) -> bytes:
        size = dice.choice([4, 12, 32, 64, 256, 1024, 4096])
        return self._another(dice)[:size] + data[dice.choice([0, size]) :]


def _place(data: bytes, dice: random.Random) -> int:
    return dice.randrange(len(data) + 1)


def _flip(data: bytes, dice: random.Random) -> bytes:
    changed = bytearray(data)
    if data:
        for _ in range(dice.choice([1, 3, 10, 100, 1000])):
            changed[dice.randrange(len(changed))] ^= 1 << dice.randrange(8)
    return bytes(changed)


def _flip_head(data: bytes, dice: random.Random) -> bytes:
    head = dice.choice([16, 64, 512])
    changed = bytearray(data)
    if data:
        for _ in range(dice.choice([1, 2, 5, 20])):
            changed[dice.randrange(min(head, len(changed)))] = dice.randrange(256)
    return bytes(changed)


def _extreme(data: bytes, dice: random.Random) -> bytes:
    """Lengths, rates and counts are whole numbers of two to eight bytes."""
    size = dice.choice([2, 4, 4, 8])
    most = 1 << 8 * size
    value = dice.choice([0, 1, most - 1, most // 2, most // 2 - 1, most - 16, dice.randrange(most)])
    place = dice.randrange(min(1024, len(data)) + 1)
    return data[:place] + value.to_bytes(size, dice.choice(["little", "big"])) + data[place + size :]


def _cut_out(data: bytes, dice: random.Random) -> bytes:
    start, end = sorted((_place(data, dice), _place(data, dice)))
    end = min(end, start + dice.choice([1, 16, 512, 8192, len(data)]))
    return data[:start] + data[end:]


def _truncate(data: bytes, dice: random.Random) -> bytes:
    return data[: dice.choice([_place(data, dice), len(data) - 1, len(data) - 100, 64, 8])]


def _behead(data: bytes, dice: random.Random) -> bytes:
    return data[dice.choice([1, 4, 44, 512, _place(data, dice)]) :]


def _insert(data: bytes, dice: random.Random) -> bytes:
    size = dice.choice([1, 7, 100, 5000])
    what = dice.choice([b"\0" * size, b"\xff" * size, dice.randbytes(size), (b"<html>" * size)[:size]])
    place = dice.choice([0, _place(data, dice), len(data)])
    return data[:place] + what + data[place:]


def _swap(data: bytes, dice: random.Random) -> bytes:
    size = dice.choice([16, 188, 1024])
    blocks = [data[start : start + size] for start in range(0, len(data), size)]
    if len(blocks) > 1:
        first, second = dice.sample(range(len(blocks)), 2)
        blocks[first], blocks[second] = blocks[second], blocks[first]
    return b"".join(blocks)


def _repeat(data: bytes, dice: random.Random) -> bytes:
    start = _place(data, dice)
    block = data[start : start + dice.choice([16, 500, 4000])]
    return data[:start] + block * dice.choice([2, 5, 30]) + data[start:]
