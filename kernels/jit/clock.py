"""Where a run's time goes: a clock that `enter` switches from phase to phase and layer to layer, where a
profile is wanted; else it is empty.
"""

from nnfast.kernels.jit.compiling import entry, inner
from nnfast.kernels.jit.memory import ticks

PHASES = (
    "gather",
    "forward",
    "loss",
    "backward",
    "gradient and update",
    "normalization",
    "limits",
    "evaluation",
    "bookkeeping",
    "waiting",
    "packing",
)
(
    GATHER,
    FORWARD,
    LOSS,
    BACKWARD,
    GRADIENT,
    NORMALIZATION,
    LIMITS,
    EVALUATION,
    BOOKKEEPING,
    WAITING,
    PACKING,
) = range(len(PHASES))
# A clock: when it was switched last, the slot that it counts in since then, the number of layers, whether all
# work is one evaluation; then ticks by slot, a phase of one layer each.
SINCE, SLOT, N_LAYERS, EVALUATES, SLOTS = range(5)


@inner
def enter(clock, phase, layer):
    """What is done from here on."""
    if len(clock):
        if clock[EVALUATES] and phase < EVALUATION:
            phase, layer = EVALUATION, 0
        now = ticks()
        clock[SLOTS + clock[SLOT]] += now - clock[SINCE]
        clock[SINCE] = now
        clock[SLOT] = phase * clock[N_LAYERS] + layer


@entry
def start(clock):
    """Begin a run; returns the time."""
    clock[SINCE] = ticks()
    clock[SLOT] = BOOKKEEPING * clock[N_LAYERS]
    return clock[SINCE]


@entry
def stop(clock):
    """End it; returns the time."""
    enter(clock, BOOKKEEPING, 0)
    return clock[SINCE]
