"""What a Python function computes: it is run on numbers that are not known yet, once for each way that its
conditions can turn out.

So anything goes in it that comes to operations which `expressions.py` and `functions.py` know: local
variables, conditions, loops of a known length, closures, other functions of the user's. No source is needed.
`math`, which takes no other numbers than Python's, and what would forget that numbers are not known, are
replaced by stand-ins, in this function and in all Python functions that it calls by name.
"""

import builtins
import functools
import math
import types

import numpy as np
from nnfast.kernels.jit import expressions, functions
from nnfast.kernels.jit.expressions import Condition, Node, NotCompilable, Number, select

MOST_PATHS = 256  # through a function's conditions
MOST_CONDITIONS = 64  # on one of them


def run(function, graph, arguments):
    """What the function returns for the arguments, nodes of the graph or known numbers: a Number, or a list
    of them where it is a tuple.

    Raises
    ------
    NotCompilable
        If it cannot be told; what the function raises by itself goes through.
    """
    function = stand_in(function)
    paths = 0

    def follow(decided):
        """The result where the first conditions are decided so, and all others in turn."""
        nonlocal paths
        paths += 1
        if paths > MOST_PATHS:
            raise NotCompilable(
                f"has more than {MOST_PATHS} ways through its conditions: np.where, min and max do not add to"
                " them"
            )
        taken, known = [], {}

        def decide(condition):
            plain, positive = (condition.args[0], False) if condition.op == "not" else (condition, True)
            if plain not in known:
                if len(taken) >= MOST_CONDITIONS:
                    raise NotCompilable(
                        "repeats something until its values say to stop: only loops of a known length can be"
                        " compiled"
                    )
                known[plain] = decided[len(taken)] if len(taken) < len(decided) else True
                taken.append((plain, known[plain]))
            return known[plain] is positive

        graph.decide = decide
        try:
            result = _checked(function(*arguments), graph)
        finally:
            graph.decide = None
        for i in range(len(taken) - 1, len(decided) - 1, -1):
            result = _merged(taken[i][0], result, follow([value for _, value in taken[:i]] + [False]))
        return result

    return follow([])


def _merged(condition, yes, no):
    if isinstance(yes, Number) and isinstance(no, Number):
        return select(condition, yes, no)
    if isinstance(yes, Number) or isinstance(no, Number) or len(yes) != len(no):
        raise NotCompilable("does not always return the same count of numbers")
    return [select(condition, *pair) for pair in zip(yes, no)]


def _checked(result, graph):
    if isinstance(result, (tuple, list)):
        return [_checked(each, graph) for each in result]
    if isinstance(result, (bool, np.bool_, Condition)):
        raise NotCompilable("returns a bool: it must return a real number")
    number = graph.constant(0).like(result)
    if number is None:
        raise NotCompilable(
            f"returns {'None' if result is None else 'a ' + type(result).__name__}: it must return a real"
            " number"
        )
    return number


# ------------------------------------------------------------------------------------------------------------
# Stand-ins


def _known_or(name, origin, original):
    """The function of this name where an argument is a node, else the original."""

    @functools.wraps(original)
    def call(*args, **options):
        if any(isinstance(each, Node) for each in (*args, *options.values())):
            if options:
                raise NotCompilable(f"uses {origin}.{name} with {', '.join(options)}")
            return functions.call(name, args, origin)
        return original(*args, **options)

    return call


def _extreme(original, pair):
    """min and max without a path for each answer."""

    def call(*args, **options):
        values = args if len(args) > 1 else tuple(args[0])
        if options or not any(isinstance(each, Node) for each in values):
            return original(*args, **options)
        blank = next(each.graph for each in values if isinstance(each, Node)).constant(0)
        return functools.reduce(pair, map(blank.like, values))

    return call


def _float(value=0.0):
    return (
        value
        if isinstance(value, Number)
        else value.number_of()
        if isinstance(value, Condition)
        else float(value)
    )


def _import(name, *args):
    return stand_in(builtins.__import__(name, *args))


_BUILTINS = vars(builtins) | {
    "min": _extreme(min, expressions.minimum),
    "max": _extreme(max, expressions.maximum),
    "float": _float,
    "__import__": _import,
}
_MATH = {
    id(function): _known_or(name, "math", function)
    for name, function in vars(math).items()
    if callable(function)
}


class _Module:
    """A module whose functions are replaced as they are asked for."""

    def __init__(self, module):
        self._module = module

    def __getattr__(self, name):
        return stand_in(getattr(self._module, name))


def stand_in(value, made=None):
    """What a traced function has in place of a value that it refers to."""
    made = {} if made is None else made
    if id(value) in _MATH:
        return _MATH[id(value)]
    if id(value) in made:
        return made[id(value)]
    if isinstance(value, types.FunctionType):
        return _rebuilt(value, made)
    if isinstance(value, types.MethodType):
        return types.MethodType(stand_in(value.__func__, made), value.__self__)
    if isinstance(value, functools.partial):
        return functools.partial(stand_in(value.func, made), *value.args, **value.keywords)
    if isinstance(value, types.ModuleType) and value.__name__.partition(".")[0] not in ("numpy", "scipy"):
        return _Module(value)
    if isinstance(getattr(value, "py_func", None), types.FunctionType):  # compiled by Numba
        return stand_in(value.py_func, made)
    if isinstance(value, functools._lru_cache_wrapper):
        return stand_in(value.__wrapped__, made)
    if isinstance(value, (type, types.BuiltinFunctionType)):
        return _BUILTINS[value.__name__] if value in (float, min, max) else value
    # an object that can be called
    if isinstance(getattr(type(value), "__call__", None), types.FunctionType) and not _is_library(
        type(value)
    ):
        return types.MethodType(stand_in(type(value).__call__, made), value)
    return value


def _is_library(each):
    return str(each.__module__).partition(".")[0] in ("numpy", "scipy", "numba")


def _rebuilt(function, made):
    """The same code with stand-ins for its globals and the values that it encloses."""
    if _is_library(function):
        return function
    names = {"__builtins__": _BUILTINS}  # which a function takes over when it is made
    cells = None if function.__closure__ is None else tuple(types.CellType() for _ in function.__closure__)
    rebuilt = types.FunctionType(function.__code__, names, function.__name__, function.__defaults__, cells)
    rebuilt.__kwdefaults__ = function.__kwdefaults__
    made[id(function)] = rebuilt
    for name in _names(function.__code__):
        if name in function.__globals__:
            names[name] = stand_in(function.__globals__[name], made)
    for cell, original in zip(cells or (), function.__closure__ or ()):
        try:
            cell.cell_contents = stand_in(original.cell_contents, made)
        except ValueError:  # not assigned yet: stays so
            continue
    return rebuilt


def _names(code):
    """What the code and the functions within it look up."""
    found = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            found |= _names(constant)
    return found
