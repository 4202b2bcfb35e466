"""Jobs as a production endpoint meets them, drawn by a seed, each with what has to become of it."""

from __future__ import annotations

import base64
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from tests.load.recordings import Recording
from tests.load.site import Site

BUCKET_SECRET = "SOAK-BUCKET-SECRET"

_FORMATS = ("all", "text", "srt", "vtt", "tsv", "json")


@dataclass(frozen=True)
class Plan:
    """A job and what is right for it: the words of `recording`, or one of `error_types`.

    `may_end_early`: it is cancelled or timed out on purpose, if it does not come to its end before.
    `cancel_after`: seconds after a worker took it; below zero: while it waits in the queue.
    """

    number: int
    kind: str
    input: Any
    recording: Recording | None = None
    error_types: frozenset[str] = frozenset()
    fields: dict[str, Any] = field(default_factory=dict)
    may_end_early: bool = False
    cancel_after: float | None = None
    has_webhook: bool = False


class Mix:
    """Draws plans; the same seed and number give the same one."""

    def __init__(self, seed: int, clips: dict[str, Recording], site: Site) -> None:
        self._seed = seed
        self._clips = clips
        self._site = site
        self._kinds: dict[str, tuple[int, Callable[[int, random.Random], Plan]]] = {
            "base64": (42, self._base64),
            "URL": (18, self._url),
            "URL that breaks off": (10, self._shaky_url),
            "URL that is dead": (3, self._dead_url),
            "wrong input": (7, self._wrong_input),
            "broken media": (6, self._broken_media),
            "cancelled": (8, self._cancelled),
            "over its time": (6, self._over_time),
        }

    def draw(self, number: int) -> Plan:
        dice = random.Random(f"{self._seed}/{number}")
        make = dice.choices([make for _, make in self._kinds.values()], [share for share, _ in self._kinds.values()])
        plan = make[0](number, dice)
        if dice.random() < 0.15:
            plan = self._with_webhook(plan, dice)
        if dice.random() < 0.1:
            plan = replace(plan, fields={**plan.fields, "s3Config": self._bucket()})
        return plan

    # --- the kinds

    def _base64(self, number: int, dice: random.Random) -> Plan:
        clip = self._clip(dice)
        return Plan(number, "base64", {"audio": {"base64": clip.base64}, "options": _options(dice)}, clip)

    def _url(self, number: int, dice: random.Random) -> Plan:
        clip = self._clip(dice)
        url = self._site.url(f"/sound/{clip.name}", number)
        audio = dice.choice([url, {"url": url}])
        return Plan(number, "URL", {"audio": audio, "options": _options(dice)}, clip)

    def _shaky_url(self, number: int, dice: random.Random) -> Plan:
        clip = self._clip(dice)
        url = self._site.url(f"/sound/{clip.name}", number, breaks=dice.choice([1, 1, 2]))
        return Plan(number, "URL that breaks off", {"audio": {"url": url}, "options": _options(dice)}, clip)

    def _dead_url(self, number: int, dice: random.Random) -> Plan:
        url = self._site.url(dice.choice(["/missing", "/dead"]), number)
        failed = frozenset({"DownloadFailed"})
        return Plan(number, "URL that is dead", {"audio": {"url": url}}, error_types=failed)

    def _wrong_input(self, number: int, dice: random.Random) -> Plan:
        audio = {"base64": self._clips["demo.ogg"].base64}
        wrong = dice.choice(
            [
                {},
                {"audio": 5},
                {"audio": {"uri": "https://example.com/a.mp3"}},
                {"audio": {"base64": "not base64!"}},
                {"audio": {**audio, "url": "https://example.com/a.mp3"}},
                {"audio": audio, "options": {"language": "de"}},
                {"audio": audio, "options": {"beam_size": "many"}},
                {"audio": audio, "options": {"temprature": 0}},
                {"audio": audio, "upload": {"prefix": "../up"}},
                {"audio": "ftp://example.com/a.mp3"},
            ]
        )
        return Plan(number, "wrong input", wrong, error_types=frozenset({"InvalidInput"}))

    def _broken_media(self, number: int, dice: random.Random) -> Plan:
        video = self._clips["video.mp4"].data
        flac = self._clips["silence.flac"].data
        broken = dice.choice(
            [dice.randbytes(4000), b"<html>not found</html>", video[: len(video) // 2], flac[: len(flac) // 2]]
        )
        made = {"audio": {"base64": base64.b64encode(broken).decode()}, "options": _options(dice)}
        return Plan(number, "broken media", made, error_types=frozenset({"UnsupportedMedia"}))

    def _cancelled(self, number: int, dice: random.Random) -> Plan:
        clip = self._clips[dice.choice(["long.ogg", "long.ogg", "demo.ogg"])]
        slow = self._site.url(f"/slow/{clip.name}", number)
        audio = dice.choice([{"base64": clip.base64}, {"base64": clip.base64}, {"url": slow}])
        after = dice.choice([-1.0, *(dice.uniform(0.0, 3.0) for _ in range(4))])
        made = {"audio": audio, "options": _options(dice)}
        return Plan(number, "cancelled", made, clip, may_end_early=True, cancel_after=after)

    def _over_time(self, number: int, dice: random.Random) -> Plan:
        clip = self._clips[dice.choice(["long.ogg", "demo.ogg"])]
        made = {"audio": {"base64": clip.base64}, "options": _options(dice)}
        policy = {"policy": {"executionTimeout": dice.randint(20, 1200)}}
        return Plan(number, "over its time", made, clip, fields=policy, may_end_early=True)

    # --- what they are made of

    def _clip(self, dice: random.Random) -> Recording:
        shares = {
            "demo.ogg": 28,
            "numbers.mp3": 22,
            "video.mp4": 22,
            "noise.ogg": 12,
            "silence.flac": 12,
            "long.ogg": 4,
        }
        return self._clips[dice.choices(list(shares), list(shares.values()))[0]]

    def _with_webhook(self, plan: Plan, dice: random.Random) -> Plan:
        url = self._site.url("/hook", plan.number, breaks=dice.choice([0, 0, 0, 1, 2]))
        webhook = {"url": url, "progress": dice.random() < 0.5}
        return replace(plan, input={**plan.input, "webhook": webhook}, has_webhook=True)

    def _bucket(self) -> dict[str, str]:
        """One that no job asks to have its files in."""
        server = self._site.url("", 0).partition("?")[0]
        return {"accessId": "a", "accessSecret": BUCKET_SECRET, "bucketName": "soak", "endpointUrl": server}


def _options(dice: random.Random) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if dice.random() < 0.6:
        options["output_format"] = dice.choice(_FORMATS)
    if dice.random() < 0.25 and options.get("output_format", "json") in ("json", "all"):  # others have no words
        options["word_timestamps"] = True
    if dice.random() < 0.12:
        options["beam_size"] = dice.choice([2, 5])
    if dice.random() < 0.08:
        options["chunking"] = "sequential"
    if dice.random() < 0.1:
        options["language"] = "en"
    return options
