# Row numbers: checked, and shuffled with the very draws and swaps of numpy.random.RandomState.shuffle,
# compiled.

from cpython.pycapsule cimport PyCapsule_GetPointer

cdef extern from "numpy/random/bitgen.h":
    ctypedef struct bitgen_t:
        void *state
        uint64_t (*next_uint64)(void *state) noexcept nogil
        uint32_t (*next_uint32)(void *state) noexcept nogil


cdef enum:
    RELEASE_FROM = 10000  # rows: fewer take less time than to get the GIL back from another thread


cdef void swap_down(bitgen_t *generator, ptrdiff_t *x, ptrdiff_t n) noexcept nogil:
    """Fisher-Yates from the end. A draw is the low bits of a random word, as many as the position has, until
    one is not above it; a rejected draw swaps an element with itself, so that no branch depends on chance.
    """
    cdef uint64_t i = n - 1, mask, draw, accepted
    cdef ptrdiff_t a, b
    while i > 0:
        mask = i
        mask |= mask >> 1
        mask |= mask >> 2
        mask |= mask >> 4
        mask |= mask >> 8
        mask |= mask >> 16
        mask |= mask >> 32
        while i > mask >> 1:
            if i >> 32 == 0:
                draw = <uint64_t> generator.next_uint32(generator.state) & mask
            else:
                draw = generator.next_uint64(generator.state) & mask
            accepted = draw <= i
            draw = i - (i - draw) * accepted
            a = x[i]
            b = x[draw]
            x[i] = b
            x[draw] = a
            i -= accepted


def shuffle(ptrdiff_t[::1] x, random_state):
    """Shuffle x in place as random_state.shuffle(x) does, and leave random_state where that leaves it."""
    bit_generator = random_state._bit_generator
    cdef bitgen_t *generator = <bitgen_t *> PyCapsule_GetPointer(bit_generator.capsule, "BitGenerator")
    with bit_generator.lock:
        if x.shape[0] > RELEASE_FROM:
            with nogil:
                swap_down(generator, &x[0], x.shape[0])
        elif x.shape[0] > 1:
            swap_down(generator, &x[0], x.shape[0])


def are_rows(const ptrdiff_t[::1] x, size_t n_samples):
    """Whether all of x are row numbers of a table of n_samples, and there is at least one."""
    cdef size_t bad = 0
    cdef ptrdiff_t i
    for i in range(x.shape[0]):
        bad += <size_t> x[i] >= n_samples
    return x.shape[0] > 0 and bad == 0
