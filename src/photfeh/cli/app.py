"""The application: its commands, and how every end of it becomes a message and an exit status."""

from __future__ import annotations

import io
import logging
import sys
import tempfile
import traceback
import warnings
from typing import Annotated, Any

import typer

from photfeh.cli.archive import fetch
from photfeh.cli.console import err, out
from photfeh.cli.laboratory import compare, learning_curve, validate
from photfeh.cli.models import calibrate, cite, models, train
from photfeh.cli.prediction import predict
from photfeh.cli.samples import demo, prepare, simulate
from photfeh.cli.stars import evaluate, plot
from photfeh.cli.tuning import tune
from photfeh.core.errors import FitFailed, PhotfehError, PhotfehWarning

__all__ = ["app", "main"]

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130
"""Exit statuses besides 0, all done: fits failed, no star could be predicted, or photfeh itself; bad input; Ctrl-C."""

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Photometric metallicities of RR Lyrae stars: light curves in, [Fe/H] with calibrated uncertainties out.",
)
for command in (
    demo, simulate, fetch, prepare, validate, compare, learning_curve, tune, train, calibrate, predict, evaluate, plot,
    cite,
):  # fmt: skip
    app.command()(command)
app.add_typer(models, name="models")


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        out.print(f"photfeh {version('photfeh')}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and leave.")
    ] = False,
) -> None:
    """Take the options that stand before the command."""


def main() -> None:
    """Entry point: every end is an exit status, and every error one line on stderr."""
    warnings.showwarning = _show_warning  # type: ignore[assignment]
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name of a file may hold bytes that are no text
            stream.reconfigure(errors="backslashreplace")
    _show_notes()
    try:
        status = app(standalone_mode=False)
    except FitFailed as error:
        _leave(str(error), FAILED)
    except PhotfehError as error:
        _leave(str(error), BAD_INPUT)
    except (KeyboardInterrupt, typer.Abort):
        status = INTERRUPTED
    except OSError as error:
        _leave(_told(error), BAD_INPUT)
    except MemoryError:
        _leave("not enough memory. What was finished is kept; run the same command again on less.", BAD_INPUT)
    except Exception as error:
        if hasattr(error, "format_message"):  # click's usage errors
            _leave(f"{error.format_message()} Try --help.", BAD_INPUT)
        _leave(_our_mistake(error), FAILED)
    if status == INTERRUPTED:  # typer turns Ctrl-C into this status
        _leave("interrupted; run the same command again to go on.", INTERRUPTED)
    sys.exit(status if isinstance(status, int) else 0)


def _leave(text: str, status: int) -> None:
    err.print(f"photfeh: {text}", style="red" if status == BAD_INPUT else None)
    sys.exit(status)


def _told(error: OSError) -> str:
    """A full disk, a missing right, a name too long: the path and what the system says."""
    where = " and ".join(str(name) for name in (error.filename, error.filename2) if name is not None)
    reason = error.strerror or str(error)
    return f"{where or 'a file'}: {reason}. What was finished is kept; run the same command again when that is mended."


def _our_mistake(error: Exception) -> str:
    """What nobody foresaw: what it was in one line, and where the rest stands for whoever mends it."""
    text = "".join(traceback.format_exception(error))
    said = f"a mistake of photfeh itself: {type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
    try:
        with tempfile.NamedTemporaryFile("w", prefix="photfeh-", suffix=".txt", delete=False) as file:
            file.write(text)
    except OSError:
        return f"{said}. Please report it."
    return f"{said}. Please report it, with {file.name}."


def _show_warning(message: Any, category: type[Warning], *where: Any) -> None:
    if issubclass(category, PhotfehWarning):
        err.print(f"photfeh: warning: {message}", style="yellow")


class _Notes(logging.Handler):
    """What the library notes on its way, on standard error."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one line."""
        err.print(f"photfeh: {record.getMessage()}")


def _show_notes() -> None:
    log = logging.getLogger("photfeh")
    log.setLevel(logging.INFO)
    if not any(isinstance(handler, _Notes) for handler in log.handlers):
        log.addHandler(_Notes())
