"""The folder of known voices: the embeddings by which speakers are named in later transcripts.

An embedding identifies a person, like a fingerprint. The folder and its files can be read by the user alone, and no
message has any of the numbers. Each voice is a file, named by a digest: a name may not be a file name on every disk.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from client.errors import OutputFailed, WrongUsage
from client.files import PRIVATE_FILE, PRIVATE_FOLDER, check_writable, describe, home_folder, write_atomically
from client.invocation import command_line
from client.merge.speakers import ENROLL_THRESHOLD
from client.transport.answers import is_number
from transcript.speaker_names import clean_speaker_name

FOLDER_VARIABLE = "WORKER_WHISPER_VOICES"

EMBEDDING_SIZE = 192
"""The worker's, as are the next two (a test compares them)."""

MAX_VOICES = 200

MAX_SAMPLES = 20
"""Of one voice; more make its mean no better."""

_MAX_FILE_BYTES = 1 << 20
_MAX_LENGTH_ERROR = 0.01
_FORMAT_VERSION = 1
_FILE_NAME = re.compile(r"[0-9a-f]{32}\.json")


@dataclass(frozen=True)
class VoiceSample:
    """One recording of a voice."""

    embedding: tuple[float, ...]
    """Of length 1."""
    seconds: float
    """Of speech."""
    added: str
    """The day, as `2026-11-30`."""

    def __repr__(self) -> str:
        """Leave the embedding out."""
        return f"VoiceSample(seconds={self.seconds}, added={self.added!r})"


@dataclass(frozen=True)
class Voice:
    """A known voice, whose embeddings are all of one model."""

    name: str
    model: str | None
    """Name of the embeddings' model; None: the worker did not say."""
    samples: tuple[VoiceSample, ...]

    @property
    def seconds(self) -> float:
        """Seconds of speech in all samples."""
        return sum(sample.seconds for sample in self.samples)

    @property
    def embedding(self) -> list[float]:
        """The mean direction of the samples' embeddings, weighted by seconds of speech; of length 1."""
        weighted = [[sample.seconds * value for value in sample.embedding] for sample in self.samples]
        total = [sum(values) for values in zip(*weighted, strict=True)]
        length = math.hypot(*total) or 1.0
        return [round(value / length, 4) for value in total]

    def with_sample(self, sample: VoiceSample) -> Voice:
        """Return the voice with one more sample; beyond `MAX_SAMPLES` the oldest is dropped."""
        return Voice(self.name, self.model, (*self.samples, sample)[-MAX_SAMPLES:])

    def to_option(self) -> dict[str, Any]:
        """Return the voice as the worker's option `speakers` takes it."""
        return {"embedding": self.embedding, **({"embedding_model": self.model} if self.model else {})}


class VoiceFolder:
    """The known voices in a folder, which need not exist. Safe for several processes.

    Args:
        path: of the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def load_all(self) -> list[Voice]:
        """Return all voices, by name.

        Raises:
            WrongUsage: the folder or a file of it cannot be read, or is damaged.
        """
        try:
            files = [path for path in self.path.iterdir() if _FILE_NAME.fullmatch(path.name)]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise WrongUsage(f"the folder of known voices {self.path} cannot be read: {describe(error)}") from None
        return sorted(map(_read_voice, files), key=lambda voice: (_to_key(voice.name), voice.name))

    def find(self, name: str) -> Voice | None:
        """Return a voice by its name, in any case; None: there is none.

        Raises:
            WrongUsage: its file cannot be read, or is damaged.
        """
        path = self._file_of(name)
        return _read_voice(path) if path.exists() else None

    def get(self, name: str) -> Voice:
        """Return a voice by its name, in any case.

        Raises:
            WrongUsage: there is none, or its file cannot be read, or is damaged.
        """
        voice = self.find(clean_name(name))
        if voice is None:
            names = ", ".join(known.name for known in self.load_all()) or "none"
            raise WrongUsage(f"there is no voice {name:.60} in {self.path}; known ones: {names:.500}")
        return voice

    def check_writable(self) -> None:
        """Check that voices can be kept, before work is paid for.

        Raises:
            WrongUsage: they cannot; the message says why.
        """
        check_writable(self._file_of("probe"))

    def save(self, voice: Voice) -> None:
        """Keep a voice, in place of one of the same name in any case.

        Raises:
            OutputFailed: it cannot be written.
        """
        content = {
            "version": _FORMAT_VERSION,
            "name": voice.name,
            "embedding_model": voice.model,
            "samples": [
                {"embedding": list(sample.embedding), "seconds": sample.seconds, "added": sample.added}
                for sample in voice.samples
            ],
        }
        path = self._file_of(voice.name)
        try:
            self._make_folder()
            write_atomically(path, json.dumps(content, ensure_ascii=False) + "\n", PRIVATE_FILE)
        except OSError as error:
            raise OutputFailed(f"{path} cannot be written: {describe(error)}") from None

    def remove(self, name: str) -> None:
        """Remove a voice, also if its file is damaged.

        Raises:
            WrongUsage: there is none.
            OutputFailed: it cannot be removed.
        """
        path = self._file_of(clean_name(name))
        if not path.exists():
            self.get(name)
        try:
            path.unlink()
        except OSError as error:
            raise OutputFailed(f"{path} cannot be removed: {describe(error)}") from None

    def rename(self, old: str, new: str) -> Voice:
        """Give a voice another name, and return it.

        Raises:
            WrongUsage: there is no such voice, or the new name is wrong or another voice's.
            OutputFailed: it cannot be written.
        """
        voice, name = self.get(old), clean_name(new)
        renamed = Voice(name, voice.model, voice.samples)
        is_other = self._file_of(name) != self._file_of(voice.name)
        if is_other and self.find(name):
            raise WrongUsage(f"there is a voice {name} already: remove it first, or choose another name")
        self.save(renamed)
        if is_other:
            self.remove(voice.name)
        return renamed

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold other processes back from changing the folder.

        Raises:
            OutputFailed: the folder cannot be written.
        """
        try:
            self._make_folder()
            with FileLock(self.path / ".lock", mode=PRIVATE_FILE):
                yield
        except OSError as error:
            raise OutputFailed(f"the folder of known voices {self.path} cannot be written: {describe(error)}") from None

    def _make_folder(self) -> None:
        self.path.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)

    def _file_of(self, name: str) -> Path:
        digest = hashlib.sha256(_to_key(name).encode()).hexdigest()[:32]
        return self.path / f"{digest}.json"


def voices_folder(given: Path | None = None, environment: Mapping[str, str] = os.environ) -> Path:
    """Return the folder of known voices: the given one, else that of the environment, else the user's."""
    if given or environment.get(FOLDER_VARIABLE):
        return (given or Path(environment[FOLDER_VARIABLE])).expanduser()
    data = environment.get("XDG_DATA_HOME") or home_folder() / ".local" / "share"
    return Path(data) / "worker-whisper" / "voices"


def clean_name(name: str) -> str:
    """Return a name as the worker takes it.

    Raises:
        WrongUsage: it would refuse it.
    """
    try:
        return clean_speaker_name(" ".join(name.split()))
    except ValueError as error:
        raise WrongUsage(f"{name!r:.70} cannot be a speaker's name: {error}") from None


@dataclass(frozen=True)
class KnownVoices:
    """Which known voices speakers are compared with."""

    wanted: bool | None
    """None: those that there are, with `diarize`."""
    folder: Path | None
    """None: see `voices_folder`."""

    def add_to(self, options: dict[str, Any]) -> dict[str, Any]:
        """Return a job's options with the known voices.

        Raises:
            WrongUsage: they were asked for, and there are none or speakers are not told apart; or one is damaged.
        """
        if self.wanted and not options.get("diarize"):
            raise WrongUsage("--known-voices needs --diarize")
        if self.wanted is False or not options.get("diarize"):
            return options
        folder = voices_folder(self.folder)
        voices = VoiceFolder(folder).load_all()
        if self.wanted and not voices:
            raise WrongUsage(f"there are no voices in {folder}: `{command_line('voices add')} NAME FILE` keeps one")
        return add_known_voices(options, voices)


def describe_known_voices(options: dict[str, Any], job_options: dict[str, Any]) -> str | None:
    """Return the note on the known voices that were added to a job's options; None: none were."""
    number = len(job_options.get("speakers") or {}) - len(options.get("speakers") or {})
    if not number:
        return None
    voices = "the known voice" if number == 1 else f"the {number} known voices"
    return f"Note: speakers are compared with {voices}; --no-known-voices leaves that out"


def add_known_voices(options: dict[str, Any], voices: Sequence[Voice]) -> dict[str, Any]:
    """Return a job's options with the known voices beside those that they name themselves.

    Raises:
        WrongUsage: there are too many.
    """
    given = options.get("speakers") or {}
    keys = {_to_key(name) for name in given}
    added = {voice.name: voice.to_option() for voice in voices if _to_key(voice.name) not in keys}
    if len(given) + len(added) > MAX_VOICES:
        raise WrongUsage(
            f"a job takes at most {MAX_VOICES} known voices, and there are {len(given) + len(added)}: keep some of "
            "them in another folder, which --voices names"
        )
    return {**options, "speakers": {**given, **added}} if added else options


def find_similar(sample: VoiceSample, model: str | None, voices: Sequence[Voice]) -> Voice | None:
    """Return the voice that a sample would be taken for; None: there is none."""
    similar = [(similarity(sample, voice), voice) for voice in voices if voice.model == model]
    value, voice = max(similar, key=lambda pair: pair[0], default=(0.0, None))
    return voice if value >= ENROLL_THRESHOLD else None


def similarity(sample: VoiceSample, voice: Voice) -> float:
    """Return the cosine similarity of a sample and a voice."""
    return sum(first * second for first, second in zip(sample.embedding, voice.embedding, strict=True))


def is_embedding(value: Any) -> bool:
    """True for the numbers of an embedding: of the worker's size, and of length 1."""
    if not isinstance(value, list) or len(value) != EMBEDDING_SIZE:
        return False
    # A comparison with NaN is false, and a sum of larger numbers could overflow.
    if not all(is_number(number) and abs(number) <= 1 + _MAX_LENGTH_ERROR for number in value):
        return False
    return abs(math.hypot(*value) - 1) <= _MAX_LENGTH_ERROR


def is_same_name(first: str, second: str) -> bool:
    """True for names that differ in case or in the spelling of an accent only."""
    return _to_key(first) == _to_key(second)


def _to_key(name: str) -> str:
    """Return the same for names that differ in case or in the spelling of an accent only."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _read_voice(path: Path) -> Voice:
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise WrongUsage(f"the known voice {path} cannot be read: {describe(error)}") from None
    try:
        if len(content) > _MAX_FILE_BYTES:
            raise ValueError("too large")
        return _parse_voice(json.loads(content))
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError, WrongUsage):
        raise WrongUsage(f"the known voice {path} is damaged: remove the file, and add the voice again") from None


def _parse_voice(saved: Any) -> Voice:
    """Return the voice of a file.

    Raises:
        ValueError, TypeError, LookupError, AttributeError, WrongUsage: it has another form.
    """
    samples, model = saved["samples"], saved["embedding_model"]
    if saved["version"] != _FORMAT_VERSION or not samples or not isinstance(model, str | None):
        raise ValueError("wrong form")
    if not all(is_embedding(each["embedding"]) for each in samples):
        raise ValueError("wrong form")
    parsed = [
        VoiceSample(tuple(each["embedding"]), max(0.001, float(each["seconds"])), str(each["added"]))
        for each in samples
    ]
    if not all(math.isfinite(sample.seconds) for sample in parsed):
        raise ValueError("wrong form")
    return Voice(clean_name(saved["name"]), model, tuple(parsed))
