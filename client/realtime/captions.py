"""Shows a live transcription: final text as lines, and on a terminal below them the words that are being spoken."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from client.console import format_segment, printable
from client.realtime.utterances import Utterance

_MAX_RUNNING_LINES = 3
_REFRESHES_PER_SECOND = 8


class Captions:
    """Text goes to stdout, and notes to stderr.

    Args:
        status: returns the last line on a terminal: how long, and whether the server listens.
        quiet: show the lines only.
    """

    def __init__(self, status: Callable[[], str], *, quiet: bool) -> None:
        self.running_words = ""
        """Words that are not final yet."""
        self._status = status
        self._out, self._err = Console(), Console(stderr=True)
        self._is_live = self._out.is_terminal and not quiet
        self._live = Live(
            console=self._out,
            get_renderable=self._render,
            refresh_per_second=_REFRESHES_PER_SECOND,
            transient=True,
            redirect_stderr=False,
        )

    def __enter__(self) -> Captions:
        if self._is_live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def print_utterance(self, utterance: Utterance) -> None:
        """Print the lines of a finished utterance, and what went wrong with it."""
        for segment in utterance.segments:
            # Whole lines in a file or a pipe; on a terminal they break between words.
            self._out.print(Text(format_segment(segment)), soft_wrap=not self._out.is_terminal)
        if utterance.error:
            self.note(f"what was said at {utterance.start:.0f} s has no final text: {utterance.error}")

    def note(self, sentence: str) -> None:
        """Print a sentence for the user, above the running words."""
        # On one terminal only the live console knows where its lines are.
        console = self._out if self._is_live and self._err.is_terminal else self._err
        console.print(Text(f"Note: {printable(sentence)}", style="dim"), soft_wrap=True)

    def _render(self) -> Group:
        width = self._out.width
        words = self.running_words.strip()
        if len(words) > _MAX_RUNNING_LINES * width:
            words = f"…{words[1 - _MAX_RUNNING_LINES * width :]}"
        status = Text(self._status(), style="dim", no_wrap=True, overflow="ellipsis")
        return Group(Text(words, style="italic"), status) if words else Group(status)
