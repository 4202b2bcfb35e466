"""The help of the commands: options in groups, in plain text that reads the same in a terminal, a pipe and a file."""

from __future__ import annotations

import inspect
from typing import Any

from typer.core import TyperCommand, TyperGroup

from client.invocation import running_command

OUTPUT, CONNECTION, GENERAL = "Output", "Connection", "General"
"""Groups of flags that are not options of the worker."""

_LAST = (CONNECTION, GENERAL)

EXIT_CODES = """\
\b
Exit codes:
  0    done
  2    wrong arguments, options or settings; a file that does not exist
  3    not a recording: empty, damaged, without sound, or of another kind
  4    the job failed
  5    the endpoint cannot be reached, or refuses
  6    incomplete: files of a batch failed, or the captioned video is missing
  7    files cannot be written; the message says where the transcript is kept
  130  Ctrl-C; the same command continues, and finished parts are kept"""


class GroupedCommand(TyperCommand):
    """A command whose help lists the options by their `rich_help_panel`; its epilog may hold `{command}`."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments, then each group of options."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                is_argument = parameter.param_type_name == "argument"
                panel = "Arguments" if is_argument else getattr(parameter, "rich_help_panel", None) or GENERAL
                groups.setdefault(panel, []).append(record)
        for panel in sorted(groups, key=lambda name: _LAST.index(name) if name in _LAST else -1):
            with formatter.section(panel):
                formatter.write_dl(groups[panel])

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the examples with the command that was run."""
        _write_epilog(self.epilog, ctx, formatter)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; messages name others as this one was named."""
        running_command.set(ctx.command_path)
        return super().invoke(ctx)


class CommandGroup(TyperGroup):
    """A group of commands, with the same in its epilog."""

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the examples with the command that was run."""
        _write_epilog(self.epilog, ctx, formatter)


def _write_epilog(epilog: str | None, ctx: Any, formatter: Any) -> None:
    formatter.write_paragraph()
    with formatter.indentation():
        formatter.write_text(inspect.cleandoc(epilog or "").replace("{command}", ctx.command_path))
