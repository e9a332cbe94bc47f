# cython: language_level=3, cdivision=True, initializedcheck=False, freethreading_compatible=True
"""The compiled engine: training, differentiating and running one network, without the GIL.

This module assembles its parts, each a file of its own, which kernels/README.md lists. Only
nnfast.engines.cython calls it, and but for row_network.pxi, predictor.pxi and fingerprint.pxi, which do so
themselves, has checked all that comes in.
"""
from libc.stdint cimport INT64_MAX, int32_t, int64_t, uint8_t, uint64_t, uint32_t, uintptr_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset
from cpython.exc cimport PyErr_CheckSignals
cimport numpy as cnp

from threading import get_ident, main_thread

import numpy as np

cnp.import_array()

include "declarations.pxi"
include "records.pxi"
include "names.pxi"

cdef inline void *pointer(cnp.ndarray x) noexcept:
    return cnp.PyArray_DATA(x)


include "program.pxi"
include "team.pxi"
include "state.pxi"
include "profile.pxi"
include "weights.pxi"
include "operations.pxi"

cdef struct Session_:
    State state
    Team team
    void *owner                # the Engine, borrowed: where a signal handler's exception is kept
    int64_t next_poll          # milliseconds
    int64_t started            # when this run began, milliseconds

include "run.pxi"
include "signals.pxi"
include "memory.pxi"
include "session.pxi"
include "shuffle.pxi"
include "metrics.pxi"
include "standalone.pxi"
include "standalone_bf16.pxi"
include "row_network.pxi"
include "predictor.pxi"
include "fingerprint.pxi"


def power(double base, cnp.ndarray exponents):
    """base to each of the exponents, float64 of shape (n,) and contiguous, by the C library."""
    cdef cnp.ndarray powers = np.empty_like(exponents)
    cdef const double *x = <const double *> pointer(exponents)
    cdef double *y = <double *> pointer(powers)
    cdef ptrdiff_t i
    for i in range(exponents.shape[0]):
        y[i] = pow(base, x[i])
    return powers
