"""An Optuna study in a folder, shared by workers of which any may be killed at any time.

The journal is a file that all workers append to (``optuna.storages.JournalStorage``; ``optuna-dashboard`` reads it). It
has no heartbeat: the trial of a killed worker would stay RUNNING for ever. So every trial carries the process, the host
and the start time of the process that runs it; whoever asks for a trial first takes those whose process is gone, ends
them as failed and puts their parameters back into the queue. Asking, which includes counting and reaping, is done under
one lock, so that nothing is counted, put back or run twice.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from photfeh.core.errors import BadInput
from photfeh.models.spaces import Choice, Space

if TYPE_CHECKING:
    import optuna

__all__ = ["JOURNAL", "Desk", "decoded", "needs_optuna", "process_start"]

JOURNAL = "journal.log"
_NAME = "photfeh"


def needs_optuna() -> Any:
    """The module optuna.

    Raises
    ------
    BadInput
        if it is not installed; says how to.
    """
    try:
        import optuna
    except ImportError:
        raise BadInput("tuning needs Optuna: pip install 'photfeh[tune]'.") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def process_start(pid: int) -> str | None:
    """When a process of this machine started, in ticks since boot; None if there is no such process.

    Where there is no /proc, only whether the process is there is known: "unknown".
    """
    stat = Path(f"/proc/{pid}/stat")
    if not Path("/proc/self/stat").is_file():
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return None
        except PermissionError:
            pass
        return "unknown"
    try:
        # the name of the process may hold blanks and brackets; it ends at the last bracket
        fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


class Desk:
    """Where trials are asked for and brought back.

    Parameters
    ----------
    folder : path
        Of the study; made by the first worker.
    space : Space
    seed : int
        Equal seeds give equal serial studies.
    first : mapping
        Parameters to be tried first, those of the registry.
    epochs : int
        Epochs of a fit of a network, the resource of Hyperband; 0 for other models.

    Raises
    ------
    BadInput
        if optuna is absent, or the folder cannot be written to.
    """

    def __init__(self, folder: Path, space: Space, *, seed: int, first: Mapping[str, Any], epochs: int = 0) -> None:
        self.folder, self._space, self._seed = folder, space, seed
        self._optuna = needs_optuna()
        from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

        from photfeh.validation.tuning.pruning import EpochsThenFolds

        journal = str(folder / JOURNAL)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(folder / ".lock", timeout=600)
            with self._lock:
                backend = JournalFileBackend(journal, lock_obj=JournalFileOpenLock(journal))
                storage = self._optuna.storages.JournalStorage(backend)
                self.study: optuna.Study = self._optuna.create_study(
                    storage=storage, study_name=_NAME, direction="minimize", load_if_exists=True,
                    pruner=EpochsThenFolds(epochs),
                )  # fmt: skip
                if not self.study.get_trials(deepcopy=False):
                    self.study.enqueue_trial(self._encoded(first))
        except OSError as error:
            raise BadInput(f"{folder} cannot be written to ({error.strerror or error}); name another folder.") from None

    def ask(self, n_trials: int) -> optuna.Trial | None:
        """The next trial, or None if ``n_trials`` are finished or in the hands of living workers."""
        from photfeh.validation.tuning.pruning import settled

        with self._lock:
            self.reap()
            trials = self.study.get_trials(deepcopy=False)
            states = self._optuna.trial.TrialState
            counted = [trial for trial in trials if trial.state != states.WAITING and "reaped" not in trial.user_attrs]
            if len(counted) >= n_trials:
                return None
            # what is drawn depends on the seed and on how many were asked for, not on who asks or when it was resumed
            asked = sum(trial.state != states.WAITING for trial in trials)
            with settled():
                self.study.sampler = self._optuna.samplers.TPESampler(
                    seed=(self._seed + 7919 * asked) % 2**32, multivariate=True, constant_liar=True, n_startup_trials=8
                )
            trial = self.study.ask()
            for name, value in (("pid", os.getpid()), ("host", socket.gethostname())):
                trial.set_user_attr(name, value)
            trial.set_user_attr("started", process_start(os.getpid()))
            return trial

    def reap(self) -> list[int]:
        """End the trials whose process is gone, and put their parameters back; their numbers. Under the lock."""
        states, gone = self._optuna.trial.TrialState, []
        for trial in self.study.get_trials(deepcopy=False, states=(states.RUNNING,)):
            if self._is_gone(trial.user_attrs):
                self._put_back(trial)
                gone.append(trial.number)
        return gone

    @staticmethod
    def _is_gone(attrs: Mapping[str, Any]) -> bool:
        """Whether the process of a trial has ended. Of another host nothing is known: its own workers must reap."""
        if "started" not in attrs:  # killed between asking and signing; both happen under the lock
            return True
        here = attrs["host"] == socket.gethostname()
        return bool(here and process_start(int(attrs["pid"])) != attrs["started"])

    def _put_back(self, trial: optuna.trial.FrozenTrial) -> None:
        storage = self.study._storage
        storage.set_trial_user_attr(trial._trial_id, "reaped", True)
        self.study.tell(trial.number, state=self._optuna.trial.TrialState.FAIL, skip_if_finished=True)
        self.study.enqueue_trial(trial.params, user_attrs={"again_for": trial.number})

    def give_back(self, trial: optuna.Trial) -> None:
        """A trial that is broken off by its own process: as if that were gone."""
        with self._lock:
            self._put_back(self.study.trials[trial.number])

    def suggest(self, trial: optuna.Trial) -> dict[str, Any]:
        """Parameters of the model for a trial."""
        found: dict[str, Any] = {}
        for name, values in self._space.items():
            if isinstance(values, Choice):
                found[name] = trial.suggest_categorical(name, [_word(value) for value in values.values])
            elif values.whole:
                found[name] = trial.suggest_int(name, int(values.low), int(values.high), log=values.log)
            else:
                found[name] = trial.suggest_float(name, values.low, values.high, log=values.log)
        return decoded(found)

    def _encoded(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Those of the parameters that lie within the space, as Optuna keeps them."""
        found = {}
        for name, values in self._space.items():
            value = params.get(name)
            if isinstance(values, Choice):
                if value in values.values:
                    found[name] = _word(value)
            elif value is not None and values.low <= value <= values.high:
                found[name] = value
        return found

    def finished(self) -> list[optuna.trial.FrozenTrial]:
        """Trials with a value, those with a small one first."""
        done = self.study.get_trials(deepcopy=False, states=(self._optuna.trial.TrialState.COMPLETE,))
        return sorted(done, key=lambda trial: (trial.value, trial.number))

    def fold_errors(self, trial: optuna.trial.FrozenTrial) -> list[float]:
        """Rmse of a trial in each fold [dex]."""
        from photfeh.validation.tuning.pruning import FOLDS_FROM

        return [value for step, value in sorted(trial.intermediate_values.items()) if step >= FOLDS_FROM]


def _word(value: Any) -> Any:
    """A choice as Optuna keeps it: a list as its JSON."""
    return json.dumps(value) if isinstance(value, tuple) else value


def decoded(params: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters of a trial as those of a model: lists come back as tuples."""
    found = dict(params)
    for name, value in params.items():
        if isinstance(value, str) and value.startswith("["):
            with suppress(ValueError):
                found[name] = tuple(json.loads(value))
    return found
