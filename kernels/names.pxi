# Names of what is compiled in, for the engine module: numbers here, words everywhere above.
# The user's own, which come with the address of a function; see kernels.h.
OWN_ACTIVATION, OWN_LOSS = ACTIVATION_OWN, LOSS_OWN
SOURCES = {"float32": SOURCE_FLOAT32, "float64": SOURCE_FLOAT64, "int8": SOURCE_INT8, "int16": SOURCE_INT16,
           "int32": SOURCE_INT32,
           "int64": SOURCE_INT64, "uint8": SOURCE_UINT8, "uint16": SOURCE_UINT16, "uint32": SOURCE_UINT32,
           "uint64": SOURCE_UINT64}
_ISAS = {nnfast_isa_name(i).decode(): i for i in range(N_ISAS)}
_UNITS = {nnfast_unit_name(i).decode(): i for i in range(N_UNITS)}


def bfloat16_units():
    """Names of the units for bfloat16 products that are compiled in and that the CPU and the operating system
    have, slowest first.
    """
    return tuple(name for name, unit in _UNITS.items() if nnfast_unit_runs(unit))


def instruction_sets():
    """Names of the instruction sets that are compiled in and that this CPU has."""
    return tuple(name for name, isa in _ISAS.items() if nnfast_isa_runs(isa))


# What the kernels do in one go: see nnfast.plan.Forms.
FORMS = {"narrow": NARROW, "depth": DEPTH, "block": BLOCK, "most_jobs": MAX_JOBS,
         "fused": frozenset(name for name, number in ACTIVATIONS.items() if can_be_fused(number))}
