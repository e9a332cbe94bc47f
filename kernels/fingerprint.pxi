# Which objects a fitted state is made of, and how its arrays lie in memory: asked in every prediction, in a
# fifth of a microsecond.

cdef enum:
    WORDS_OF_AN_ARRAY = 6
    WORDS_ON_THE_STACK = 256

_ABSENT = object()


cdef inline int64_t *write_item(int64_t *words, item) noexcept:
    """WORDS_OF_AN_ARRAY words for an item of a list, whatever it is; returns where the next ones go."""
    cdef cnp.ndarray array
    cdef int i
    words[0] = <int64_t> <uintptr_t> <void *> item
    for i in range(1, WORDS_OF_AN_ARRAY):
        words[i] = -1
    if isinstance(item, cnp.ndarray):
        array = item
        words[1] = <int64_t> <uintptr_t> cnp.PyArray_DATA(array)
        words[2] = 2 * cnp.PyArray_TYPE(array) + cnp.PyArray_ISNOTSWAPPED(array)
        words[3] = array.ndim
        for i in range(min(2, array.ndim)):
            words[4 + i] = array.shape[i]
    return words + WORDS_OF_AN_ARRAY


def fingerprint(dict attributes, tuple names):
    """A value that is equal as long as the attributes are the same objects, and arrays in lists and tuples
    have the same dtype, shape and memory.

    A pair of a name and a tuple of names stands for an attribute and for these in its own __dict__. Only
    objects that are alive can be told from each other, and arrays of up to two dimensions.
    """
    cdef int64_t on_stack[WORDS_ON_THE_STACK]
    cdef int64_t *words = on_stack
    cdef int64_t *at
    cdef Py_ssize_t n_words = 0
    cdef list values = []
    for name in names:
        if isinstance(name, tuple):
            value = attributes.get(name[0], _ABSENT)
            values.append(value)
            inner = getattr(value, "__dict__", None)
            for name in name[1]:
                values.append((<dict> inner).get(name, _ABSENT) if isinstance(inner, dict) else _ABSENT)
        else:
            values.append(attributes.get(name, _ABSENT))
    for i in range(len(values)):
        if isinstance(values[i], (list, tuple)):
            values[i] = tuple(values[i])  # which no other thread changes
            n_words += len(<tuple> values[i]) * WORDS_OF_AN_ARRAY
        n_words += 1
    if n_words > WORDS_ON_THE_STACK:
        words = <int64_t *> calloc(n_words, sizeof(int64_t))
        if words == NULL:
            raise MemoryError
    at = words
    for value in values:
        if isinstance(value, tuple):
            at[0] = 2 * len(<tuple> value) + 1  # odd, as no object's address is
            at += 1
            for item in <tuple> value:
                at = write_item(at, item)
        else:
            at[0] = <int64_t> <uintptr_t> <void *> value
            at += 1
    answer = (<char *> words)[: n_words * sizeof(int64_t)]
    if words != on_stack:
        free(words)
    return answer
