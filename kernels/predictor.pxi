# Predictions of few rows for a server: a network for each float type, and the checks of the arguments, which
# are here, an exception to what this folder keeps to, since they would take longer from outside than a row.

# A float64 is finite in float32 where it is finite times this.
cdef double FLOAT32_SCALE = np.finfo(np.float64).max / float(np.finfo(np.float32).max)


cdef inline bint are_lines_finite(const Kernels *kernels, const char *x, ptrdiff_t lines, ptrdiff_t step,
                                  ptrdiff_t n, double scale) noexcept nogil:
    cdef ptrdiff_t i
    for i in range(lines):
        if not kernels.are_finite(x + i * step, n, scale):
            return False
    return True


cdef bint is_table_finite(const Kernels *kernels, cnp.ndarray table, double scale) except -1:
    """Whether the numbers of a table of floats, which the kernels are of, are finite times `scale`."""
    cdef ptrdiff_t size = cnp.PyArray_ITEMSIZE(table), lines = table.shape[0], n = table.shape[1]
    cdef ptrdiff_t step = cnp.PyArray_STRIDE(table, 0), number = cnp.PyArray_STRIDE(table, 1)
    cdef const char *at = <const char *> pointer(table)
    cdef bint finite
    if step == size and number != size:
        lines, n, step, number = n, lines, number, step  # columns are what lies together
    if number != size:
        with np.errstate(over="ignore"):
            return bool(np.isfinite(table if scale == 1 else table * scale).all())
    if step == n * size:
        lines, n = 1, lines * n
    if lines * n < NUMBERS_WITH_GIL:
        return are_lines_finite(kernels, at, lines, step, n, scale)
    with nogil:
        finite = are_lines_finite(kernels, at, lines, step, n, scale)
    return finite


def are_finite_rows(isa, x, bint in_float32):
    """Whether x is an array, and of no subclass, of two dimensions and a row or more, readable, and all
    finite, with in_float32 as float32, too.
    """
    if type(x) is not cnp.ndarray:
        return False
    cdef cnp.ndarray table = x
    if table.ndim != 2 or table.shape[0] == 0 or not is_of_floats(table):
        return False
    cdef bint is_double = cnp.PyArray_ITEMSIZE(table) == 8
    return is_table_finite(nnfast_kernels(_ISAS[isa], is_double), table,
                           FLOAT32_SCALE if is_double and in_float32 else 1)


cdef class Predictor:
    """The answers to tables of float32 and of float64, each by the network of its arithmetic;
    float32_gives_double: the former's answers are float64, as the latter's always are. Nothing changes after
    construction.

    Where the arithmetic is float32, check_rows(X, "float32") is called for float64 that are not finite in it,
    and check_answers(X, answers) for answers that are not finite. They raise, or let it be.
    """
    cdef RowNetwork by_float32, by_float64
    cdef bint float32_gives_double
    cdef const Kernels *singles
    cdef const Kernels *doubles
    cdef object check_rows, check_answers

    def __cinit__(self, isa, RowNetwork by_float32 not None, RowNetwork by_float64 not None,
                  bint float32_gives_double, check_rows, check_answers):
        self.by_float32, self.by_float64 = by_float32, by_float64
        self.float32_gives_double = float32_gives_double
        self.singles, self.doubles = nnfast_kernels(_ISAS[isa], False), nnfast_kernels(_ISAS[isa], True)
        self.check_rows, self.check_answers = check_rows, check_answers

    def predict(self, x, out, int columns):
        """The answers, written to `out` if it is not None; None in place of them where the rows are not few.

        columns: of the answer, as many as the network has outputs; or where it has one, p, 2 for 1 - p and p,
        or 0 for an answer of one dimension.
        """
        cdef cnp.npy_intp shape[2]
        check_table(x, self.by_float64.n_inputs)
        cdef bint is_double = cnp.PyArray_TYPE(x) == cnp.NPY_FLOAT64
        cdef bint gives_double = is_double or self.float32_gives_double
        cdef RowNetwork network = self.by_float64 if is_double else self.by_float32
        shape[0], shape[1] = (<cnp.ndarray> x).shape[0], columns
        if out is not None:
            check_out(out, x, gives_double, shape)
        if not are_few(shape[0], network.n_inputs, network.n_weights):
            return None
        if out is None:
            out = cnp.PyArray_EMPTY(2 if columns else 1, shape, float_type(gives_double), 0)
        cdef bint single = network.kernels.real_bytes == 4
        if single and is_double and not is_table_finite(self.doubles, x, FLOAT32_SCALE):
            self.check_rows(x, "float32")
        network.predict_into(x, shape[0], out, gives_double, columns > network.n_outputs)
        if single and not (self.doubles if gives_double else self.singles).are_finite(pointer(out),
                                                                                      cnp.PyArray_SIZE(out),
                                                                                      1):
            self.check_answers(x, out)
        return out


cdef int check_table(x, ptrdiff_t n_features) except -1:
    if not isinstance(x, cnp.ndarray):
        raise TypeError(f"X must be a NumPy array of float32 or float64, got {type(x).__name__}: tables of "
                        "other kinds are for the estimator, or for np.asarray or their own to_numpy() or "
                        "toarray().")
    cdef cnp.ndarray table = x
    if not is_of_floats(table):
        raise TypeError(f"X must be of dtype float32 or float64, aligned, in native byte order, got {x.dtype}"
                        f"{'' if x.flags.aligned else ', not aligned'}: X.astype(np.float64) is.")
    if table.ndim != 2:
        raise ValueError(f"X must have two dimensions, (n_samples, n_features), got shape {x.shape}: a "
                         "single row is X.reshape(1, -1).")
    if table.shape[1] != n_features:
        raise ValueError(f"X must have {n_features} features, as the table fitted on had, got "
                         f"{table.shape[1]}.")
    return 0


cdef int check_out(out, cnp.ndarray x, bint is_double, const cnp.npy_intp *shape) except -1:
    if not isinstance(out, cnp.ndarray):
        raise TypeError(f"out must be a NumPy array, got {type(out).__name__}.")
    cdef cnp.ndarray answer = out
    cdef int dimensions = 2 if shape[1] else 1
    if (cnp.PyArray_TYPE(answer) != float_type(is_double) or answer.ndim != dimensions
            or answer.shape[0] != shape[0] or (dimensions == 2 and answer.shape[1] != shape[1])):
        raise ValueError(f"out must be of dtype {'float64' if is_double else 'float32'} and shape "
                         f"({shape[0]},{' %d' % shape[1] if shape[1] else ''}), got {out.dtype} and "
                         f"{out.shape}.")
    if not cnp.PyArray_ISCARRAY(answer):
        raise ValueError("out must be C-contiguous, aligned, in native byte order and writable.")
    if share_memory(x, answer):
        raise ValueError("out must not share memory with X.")
    return 0


cdef bint share_memory(cnp.ndarray x, cnp.ndarray out) noexcept:
    """Whether a table and a contiguous array, neither empty, may overlap."""
    cdef const char *low = <const char *> pointer(x)
    cdef const char *high = low + cnp.PyArray_ITEMSIZE(x)
    cdef const char *start = <const char *> pointer(out)
    cdef ptrdiff_t reach
    cdef int i
    if cnp.PyArray_SIZE(x) == 0 or cnp.PyArray_SIZE(out) == 0:
        return False
    for i in range(2):
        reach = (x.shape[i] - 1) * cnp.PyArray_STRIDE(x, i)
        if reach < 0:
            low += reach
        else:
            high += reach
    return start < high and low < start + cnp.PyArray_NBYTES(out)
