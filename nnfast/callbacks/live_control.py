"""LiveControl: steer a long fit by a small file."""

import json
import math
import sys
import time
import warnings
from dataclasses import dataclass, field
from datetime import datetime
from numbers import Integral, Real
from os import PathLike
from pathlib import Path

from nnfast.callbacks.files import check_path, read_file, replacing, save
from nnfast.callbacks.protocol import Callback
from nnfast.callbacks.signals import raised_by_handler
from nnfast.suggestions import did_you_mean

_TEMPLATE = """\
# What a running fit shall do: it reads this file after every epoch. How it fares is in {state}.

# Done once, and again when the value changes:
# learning_rate = 0.0005       # of the next epoch; what the schedule plans after it is scaled alike
# save = "so_far.joblib"       # the estimator as of this epoch; a path within this file's folder
# stop = true                  # end the fit, as if it had converged

# In force while they are here:
# clip_norm = 1.0              # largest norm of all gradients together; inf is none
# clip_value = 0.5             # largest component of a gradient; inf is none
"""


def _is_number(value):
    # Integers of TOML may be larger than any float.
    return isinstance(value, Real) and not isinstance(value, bool) and 0 < value <= sys.float_info.max


def _is_limit(value):
    return value == math.inf or _is_number(value)


# Of every key: whether a value is accepted, and the words for what is.
_KEYS = {
    "learning_rate": (_is_number, "a positive number"),
    "clip_norm": (_is_limit, "a positive number; inf is no clipping"),
    "clip_value": (_is_limit, "a positive number; inf is no clipping"),
    "save": (lambda value: isinstance(value, str) and value.strip() != "", "a path in quotes"),
    "stop": (lambda value: isinstance(value, bool), "true or false"),
}
_CLIPS = ("clip_norm", "clip_value")


@dataclass
class LiveControl(Callback):
    """Do between epochs what a small file says, and write how the fit is doing next to it.

    The file is TOML, read before the first epoch and after every one, and acted on where its content has
    changed:

    ===================  =====================================================================================
    ``learning_rate``    Rate of the next epoch, as by `FitState.learning_rate`.
    ``clip_norm``,       Gradient clipping from the next epoch on, in place of the estimator's own. `inf` is
    ``clip_value``       none. Deleting the line brings back the estimator's.
    ``save``             Save the estimator as of this epoch by joblib, once, at this path, which is relative
                         to the folder of the control file and stays within it. As in a `Checkpoint`, the
                         optimizer's moments are not saved.
    ``stop``             true: end the fit, as if it had converged.
    ===================  =====================================================================================

    `learning_rate`, `save` and `stop` are orders, each done once for each new value. The state file remembers
    those that have been carried out: a fit that goes on, or a call of `partial_fit`, does not carry them out
    again, except for a rate that was set later than in the epoch it goes on from, or whose schedule begins
    anew, as scikit-learn's do with warm_start=True. A fit from scratch remembers `stop` alone. A template is
    written where there is no control file.

    The state goes to "control.state.toml" for a control file "control.toml", replaced as a whole after every
    epoch: the numbers of the epoch, what is in force, `control`, what was carried out or is in force of what
    was read, `skipped`, the orders that an earlier fit carried out, and `applied`, what was done when. A
    control file that is missing, empty or no TOML, as one that an editor is about to write, or that is no
    regular file, such as a named pipe, is told there as `error`, read again after the next epoch, and what
    was read before stays in force; there is a warning if it is the same by then. Keys that are unknown,
    values of a wrong type, and what could not be done (a path that cannot be written, say, or one outside the
    folder) are told there as `ignored` and by a warning, once; the rest of the file counts. None of this ends
    a fit, nor does a state file that cannot be written.

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

    path: str | PathLike
    _fit: "_Control | None" = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self):
        check_path(self.path, "path of LiveControl")

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
        self.path, self.state_path = path, path.with_name(f"{path.name.removesuffix('.toml')}.state.toml")
        self.name = _text(path.name)
        self.start = time.monotonic()
        self.n_before = len(state.history["loss"])
        self.own_clips = {name: getattr(state, name) for name in _CLIPS}
        self.content = self.error = self.waiting = self.unreadable = None
        self.n_unreadable, self.ignored, self.can_tell = 0, [], True
        # `control` is what of the file is in force or was carried out, and `applied` what was done when.
        self.control, self.applied = self._earlier(state)
        self.remembered = {name: value for name, value in self.control.items() if name not in _CLIPS}
        if path.is_dir() or not path.parent.is_dir():
            raise FileNotFoundError(
                f"path of LiveControl must be a file in a folder that is there, got {str(path)!r}."
            )
        if not path.exists():
            template = _TEMPLATE.format(state=_text(self.state_path.name))
            path.write_text(template, encoding="utf-8")

    def _earlier(self, state):
        """What an earlier fit left in the state file, as far as it counts for this one: (control,
        applied).
        """
        try:
            told = _parse(read_file(self.state_path))
            control = {
                name: value for name, value in told.get("control", {}).items() if _KEYS[name][0](value)
            }
            applied = [each for each in told.get("applied", []) if each["epoch"] <= self.n_before]
            rates = [each["what"] for each in applied if each["what"].startswith("learning_rate = ")][-1:]
        except FileNotFoundError:
            return {}, []
        except Exception as error:
            if raised_by_handler(error):
                raise
            warnings.warn(f"{self.state_path} cannot be read and is replaced: {error}")
            return {}, []
        if not self.n_before:  # a fit from scratch
            return {name: value for name, value in control.items() if name == "stop"}, []
        if not (state.rate_goes_on and _what("learning_rate", control.get("learning_rate")) in rates):
            # which was set after the epoch that this fit goes on from, or is over
            control.pop("learning_rate", None)
        return control, applied

    # --------------------------------------------------------------------------------------------------------
    # What the file says

    def look(self, estimator, state):
        """Read the file, and do what it says where that is new; `estimator` is None before the
        first epoch.
        """
        if self.waiting is not None and estimator is not None:
            waiting, self.waiting = self.waiting, None
            self._order("save", waiting, estimator, state)
        self.error = content = None
        try:
            content = read_file(self.path)
            if not content.strip():
                raise ValueError("it is empty")
            read = None if content == self.content else _parse(content)
        except Exception as error:  # of the file, of decoding or of TOML
            if raised_by_handler(error):
                raise
            self._cannot_read(content, error)
            return
        self.n_unreadable = 0
        if read is None:
            return
        self.ignored, self.content = [], content
        before, wanted = self.control, self._accepted(read)
        self.control, self.remembered = (
            {name: value for name, value in known.items() if wanted.get(name) == value}
            for known in (before, self.remembered)
        )
        for name in _KEYS:
            value = wanted.get(name)
            if name in _CLIPS:
                if value is not None or name in before:
                    self._clip(name, value, before.get(name), state)
            elif value is None or name in self.control:
                pass  # no order, or one that has been carried out
            elif name == "save" and estimator is None:
                self.waiting = value  # until there is an epoch to save
            else:
                self._order(name, value, estimator, state)

    def _cannot_read(self, content, error):
        """Tell of a control file that cannot be read; by a warning once it has been the same twice."""
        self.n_unreadable = self.n_unreadable + 1 if content == self.unreadable else 1
        self.unreadable = content
        self.error = f"{self.name} could not be read, and what was read before is in force: {error}"
        if self.n_unreadable == 2:
            warnings.warn(f"{self.path.parent}: {self.error}")

    def _accepted(self, read):
        """What the file wants, by key; where that cannot be, what it wanted before."""
        wanted = {}
        for name, value in read.items():
            if name not in _KEYS:
                self._ignore(f"{name} is no key: there are {', '.join(_KEYS)}.{did_you_mean(name, _KEYS)}")
                continue
            accepts, accepted = _KEYS[name]
            if accepts(value):
                wanted[name] = value if isinstance(value, bool | str) else float(value)
            else:
                self._ignore(f"{name} must be {accepted}, got {_shown(value)}.")
                wanted[name] = self.control.get(name)
        # stop = false is as good as none
        return {name: value for name, value in wanted.items() if value is not None and value is not False}

    def _ignore(self, what):
        self.ignored.append(what)
        warnings.warn(f"{self.path}: {what}")

    def _order(self, name, value, estimator, state):
        """Carry out an order, and remember it then."""
        if self._do(name, value, estimator, state):
            self.control[name] = value
            self._note(name, value, state)

    def _clip(self, name, value, before, state):
        """Have a limit be in force, the estimator's own for None; where the file said `before` of it."""
        limit = self.own_clips[name] if value is None else value
        self.control.pop(name, None)
        if self._do(name, limit, None, state):
            if value is not None:
                self.control[name] = value
            if value != before:
                self._note(name, limit, state)

    def _do(self, name, value, estimator, state):
        """Do it, and return whether that could be."""
        what = _what(name, value)
        try:
            if name == "save":
                if Path(value).is_absolute():
                    raise ValueError(f"the path must be relative to the folder of {self.name}")
                place = self._within_folder(self.path.parent / value)
                if place in (self.path.resolve(), self.state_path.resolve()):
                    raise ValueError("the file has another purpose")
                save(estimator, place)
            elif name == "stop":
                state.stop(f"{what} in {self.name}")
            else:
                setattr(state, name, None if value == math.inf else value)
        except Exception as error:  # of the system, or of what pickling calls
            if raised_by_handler(error):
                raise
            self._ignore(f"{what} could not be done: {error}")
            return False
        return True

    def _within_folder(self, path):
        """The path with symbolic links followed. It must be in the folder: who may write there may not write
        everywhere.
        """
        place = path.resolve()
        if not place.is_relative_to(self.path.parent.resolve()):
            raise ValueError(f"the path must stay within the folder of {self.name}")
        return place

    def _note(self, name, value, state):
        self.applied.append(
            {"epoch": self.n_before + state.epoch, "time": _now(), "what": _what(name, value)}
        )

    # --------------------------------------------------------------------------------------------------------
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
        for name in (
            "loss",
            "validation_loss",
            "validation_score",
            "best",
            "n_stalled",
            "learning_rate",
            *_CLIPS,
        ):
            numbers[name] = getattr(state, name)
        skipped = [_what(name, self.remembered[name]) for name in _KEYS if name in self.remembered]
        numbers |= {"stop_reason": state.stop_reason, "error": self.error}
        numbers |= {"ignored": self.ignored or None, "skipped": skipped or None}
        # A rate that was set before the first epoch is lost with it if that is interrupted.
        lasting = {name: value for name, value in self.control.items() if self._lasts(name, state)}
        try:
            lines = [
                f"# How the fit fares that {self.name} steers: written after every epoch.",
                *_lines(numbers),
            ]
            if lasting:
                lines += ["", "[control]", *_lines(lasting)]
            for each in self.applied:
                lines += ["", "[[applied]]", *_lines(each)]
            with replacing(self._within_folder(self.state_path)) as temporary:
                temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
        except Exception as error:
            if raised_by_handler(error):
                raise
            if self.can_tell:
                warnings.warn(f"{self.state_path} cannot be written, and the fit goes on without: {error}")
            self.can_tell = False
        else:
            self.can_tell = True

    def _lasts(self, name, state):
        return name != "learning_rate" or state.epoch > 0 or name in self.remembered


def _parse(content):
    import tomllib  # here, since importing nnfast loads nothing that scikit-learn does not

    return tomllib.loads(content.decode("utf-8-sig"))


def _what(name, value):
    """An order or a limit as in the file."""
    return f"{name} = {_toml(math.inf if value is None else value)}"


def _shown(value):
    """A value in a message; Python shows no integers of thousands of digits."""
    if isinstance(value, Integral) and value.bit_length() > 1000:
        return f"an integer of {value.bit_length()} bits"
    return repr(value)


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
    # TOML's basic strings are JSON's, where DEL is escaped, too.
    return json.dumps(_text(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def _text(value):
    """A string that can be written: names of files may have lone surrogates."""
    return value.encode("utf-8", "replace").decode()
