"""LiveControl: steer a long fit by a small file."""

import json
import math
import os
import time
import warnings
from dataclasses import dataclass, field
from datetime import datetime
from numbers import Integral, Real
from pathlib import Path
from pickle import PicklingError

from nnfast.callbacks.files import replacing, save
from nnfast.callbacks.protocol import Callback
from nnfast.words import did_you_mean

_TEMPLATE = """\
# What a running fit shall do: it reads this file after every epoch. How it fares is in {state}.

# Done once, and again when the value changes:
# learning_rate = 0.0005       # of the next epoch; what the schedule plans after it is scaled alike
# save = "so_far.joblib"       # the estimator as of this epoch; the path counts from this file's folder
# stop = true                  # end the fit, as if it had converged

# In force while they are here:
# clip_norm = 1.0              # largest norm of all gradients together; inf is none
# clip_value = 0.5             # largest component of a gradient; inf is none
"""


def _is_number(value):
    return isinstance(value, Real) and not isinstance(value, bool) and value > 0


# Of every key: whether a value is accepted, and the words for what is.
_KEYS = {
    "learning_rate": (lambda value: _is_number(value) and math.isfinite(value), "a positive number"),
    "clip_norm": (_is_number, "a positive number; inf is no clipping"),
    "clip_value": (_is_number, "a positive number; inf is no clipping"),
    "save": (lambda value: isinstance(value, str) and value.strip() != "", "a path in quotes"),
    "stop": (lambda value: isinstance(value, bool), "true or false"),
}
_CLIPS = ("clip_norm", "clip_value")


@dataclass
class LiveControl(Callback):
    """Do between epochs what a small file says, and write how the fit is doing next to it.

    The file is TOML, read before the first epoch and after every one, and acted on where its content has changed:

    ===================  ============================================================================================
    ``learning_rate``    Rate of the next epoch, as by `FitState.learning_rate`.
    ``clip_norm``,       Gradient clipping from the next epoch on, in place of the estimator's own. `inf` is none.
    ``clip_value``       Deleting the line brings back the estimator's.
    ``save``             Save the estimator as of this epoch by joblib, once, at this path, which counts from the folder
                         of the control file. As in a `Checkpoint`, the optimizer's moments are not in it.
    ``stop``             true: end the fit, as if it had converged.
    ===================  ============================================================================================

    `learning_rate`, `save` and `stop` are done once for each new value. The state file remembers what has been read: a
    fit that is resumed, or a call of `partial_fit`, does not do again what is still there from before. A template is
    written where there is no control file.

    The state goes to "control.state.toml" for a control file "control.toml", replaced as a whole after every epoch: the
    numbers of the epoch, what is in force, `control`, what was read, and `applied`, what was done when. A control file
    that is missing, empty or no TOML, as one that an editor is about to write, is told there as `error`, read again
    after the next epoch, and what was read before stays in force. Keys that are unknown, values of a wrong type, and
    what could not be done (a path that cannot be written, say) are told there as `ignored` and by a warning, once; the
    rest of the file counts. None of this ends a fit, nor does a state file that cannot be written.

    The file is for one fit at a time: the fits of a search would all do what it says and write one state.

    Parameters
    ----------
    path : str or Path
        The control file.

    Examples
    --------
    >>> import tempfile
    >>> import tomllib
    >>> from pathlib import Path
    >>> from nnfast import MLPRegressor
    >>> from nnfast.callbacks import LiveControl
    >>> X, y = [[0.0], [1.0], [2.0], [3.0]], [1.0, 3.0, 5.0, 7.0]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "control.toml")
    ...     _ = path.write_text("learning_rate = 0.02\\nstop = true\\n")
    ...     regr = MLPRegressor(random_state=0, callbacks=[LiveControl(path)]).fit(X, y)
    ...     state = tomllib.loads(Path(folder, "control.state.toml").read_text())
    >>> [each["what"] for each in state["applied"]]
    ['learning_rate = 0.02', 'stop = true']
    """

    path: str | os.PathLike
    _fit: "_Control | None" = field(default=None, init=False, repr=False, compare=False)

    def __getstate__(self):
        return vars(self) | {"_fit": None}  # which has a meaning in one fit alone

    def on_fit_begin(self, estimator, state):
        self._fit = _Control(Path(self.path), state)
        self._fit.look(None, state)
        self._fit.tell("running", state)

    def on_epoch_end(self, estimator, state):
        self._fit.look(estimator, state)
        self._fit.tell("running", state)

    def on_fit_end(self, estimator, state):
        self._fit.tell("ended", state)
        self._fit = None


class _Control:
    """One fit under the control of a file."""

    def __init__(self, path, state):
        self.path, self.state_path = path, path.with_suffix(".state.toml")
        self.start = time.monotonic()
        self.n_before = len(state.history["loss"])
        self.own_clips = {name: getattr(state, name) for name in _CLIPS}
        self.content = self.error = self.waiting = None
        self.ignored, self.can_tell = [], True
        earlier = self._earlier()
        # What was read last, of which orders are not carried out again; and, if this fit goes on, what was done before.
        self.control = {name: value for name, value in earlier.get("control", {}).items() if name not in _CLIPS}
        self.applied = earlier.get("applied", []) if self.n_before else []
        if path.is_dir() or not path.parent.is_dir():
            raise FileNotFoundError(f"path of LiveControl must be a file in a folder that is there, got {str(path)!r}.")
        if not path.exists():
            path.write_text(_TEMPLATE.format(state=self.state_path.name), encoding="utf-8")

    def _earlier(self):
        """The state file of an earlier fit; {} without one."""
        try:
            return _parse(self.state_path.read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            warnings.warn(f"{self.state_path} cannot be read and is replaced: {error}")
            return {}

    # -----------------------------------------------------------------------------------------------------------------
    # What the file says

    def look(self, estimator, state):
        """Read the file, and do what it says where that is new; `estimator` is None before the first epoch."""
        if self.waiting is not None and estimator is not None:
            waiting, self.waiting = self.waiting, None
            self._do("save", waiting, estimator, state)
        self.error = None
        try:
            content = self.path.read_bytes()
            if content == self.content:
                return
            if not content.strip():
                raise ValueError("it is empty")
            read = _parse(content)
        except (OSError, ValueError) as error:  # of decoding and TOML, too
            self.error = f"{self.path.name} could not be read, and what was read before is in force: {error}"
            return
        self.ignored = []
        before, self.control, self.content = self.control, self._accepted(read), content
        for name in _KEYS:
            value = self.control.get(name)
            if value == before.get(name):
                continue
            if name in _CLIPS:
                self._do(name, self.own_clips[name] if value is None else value, estimator, state)
            elif name == "save" and estimator is None:
                self.waiting = value  # until there is an epoch to save
            elif value is not None:
                self._do(name, value, estimator, state)

    def _accepted(self, read):
        """What the file wants, by key; where that cannot be, what it wanted before."""
        wanted = {}
        for name, value in read.items():
            if name not in _KEYS:
                self._ignore(f"{name} is no key: there are {', '.join(_KEYS)}.{did_you_mean(name, _KEYS)}")
                continue
            accepts, accepted = _KEYS[name]
            if accepts(value):
                wanted[name] = value
            else:
                self._ignore(f"{name} must be {accepted}, got {value!r}.")
                wanted[name] = self.control.get(name)
        # stop = false is as good as none
        return {name: value for name, value in wanted.items() if value is not None and value is not False}

    def _ignore(self, what):
        self.ignored.append(what)
        warnings.warn(f"{self.path}: {what}")

    def _do(self, name, value, estimator, state):
        what = f"{name} = {_toml(math.inf if value is None else value)}"
        try:
            if name == "save":
                save(estimator, self.path.parent / value)
            elif name == "stop":
                state.stop(f"{what} in {self.path.name}")
            else:
                setattr(state, name, None if value == math.inf else value)
        except (OSError, ValueError, AttributeError, TypeError, PicklingError) as error:
            self._ignore(f"{what} could not be done: {error}")
        else:
            self.applied.append({"epoch": self.n_before + state.epoch, "time": _now(), "what": what})

    # -----------------------------------------------------------------------------------------------------------------
    # What the fit says

    def tell(self, status, state):
        """Write the state file."""
        numbers = {
            "status": status,
            "time": _now(),
            "seconds": round(time.monotonic() - self.start, 3),
            "epoch": state.epoch,
            "max_epochs": state.max_epochs,
            "epochs_before": self.n_before,
        }
        for name in ("loss", "validation_loss", "validation_score", "best", "n_stalled", "learning_rate", *_CLIPS):
            numbers[name] = getattr(state, name)
        numbers |= {"stop_reason": state.stop_reason, "error": self.error, "ignored": self.ignored or None}
        lines = [f"# How the fit fares that {self.path.name} steers: written after every epoch.", *_lines(numbers)]
        if self.control:
            lines += ["", "[control]", *_lines(self.control)]
        for each in self.applied:
            lines += ["", "[[applied]]", *_lines(each)]
        try:
            with replacing(self.state_path) as temporary:
                Path(temporary).write_text("\n".join(lines) + "\n", encoding="utf-8")
        except OSError as error:
            if self.can_tell:
                warnings.warn(f"{self.state_path} cannot be written, and the fit goes on without: {error}")
            self.can_tell = False
        else:
            self.can_tell = True


def _parse(content):
    import tomllib  # here, since importing nnfast loads nothing that scikit-learn does not

    return tomllib.loads(content.decode())


def _now():
    return datetime.now().astimezone().replace(microsecond=0)


def _lines(numbers):
    return [f"{name} = {_toml(value)}" for name, value in numbers.items() if value is not None]


def _toml(value):
    """A bool, a number, a string, a time or a list of such in TOML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Integral):
        return str(int(value))
    if isinstance(value, Real):
        return repr(float(value))
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    # TOML's basic strings are JSON's, where DEL is escaped, too. Names of files may have lone surrogates, TOML none.
    text = value.encode("utf-8", "replace").decode()
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
