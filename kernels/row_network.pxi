# A network for few rows, in the calling thread: no threads, no phases. Very few rows go one after the other
# over the weights as they are; a row of a small network takes less than two microseconds. More go through a
# layer together, panel by panel of weights that are packed where the cache keeps them.
#
# Each call has scratch memory of its own, an exception to what this folder keeps to, so that threads may
# share one object: memory from outside would take longer than a row does.

from libc.stdlib cimport malloc
from libc.string cimport memcpy

cdef extern from "numpy/arrayobject.h":
    enum: NPY_ARRAY_CARRAY_RO, NPY_ARRAY_FORCECAST
    object PyArray_FROM_OTF(object, int, int)

cdef enum:
    # Rows are few where that is quicker than opening a Session: up to so many; or numbers in them, and
    # products of a weight and an input.
    FEW_ROWS = 64
    FEW_NUMBERS = 1 << 20
    FEW_PRODUCTS = 100000000
    SINGLE_ROWS = 4             # up to so many, one at a time is quicker than packing the weights
    # Weights of the other float than the arithmetic's are packed even for a single row, unless there are so
    # many.
    MANY_WEIGHTS = 1 << 17
    STRIP = 1 << 13             # numbers of such weights that are converted at a time, for the L1 cache
    MOST_TOGETHER = 128
    NUMBERS_TOGETHER = 1 << 18  # of a layer's widest side
    # multiplied or looked at, several microseconds: beside more of them, letting go of the GIL costs little
    NUMBERS_WITH_GIL = 1 << 16

cdef struct RowLayer:
    const void *w              # row-major, `step` numbers a row; of a narrow layer, transposed panels
    const void *b
    ptrdiff_t n_in, n_out, step
    bint is_double             # w
    bint narrow
    int activation
    double parameter
    own_activation_fn *own
    Norm norm

cdef struct Scratch:
    void *memory
    char *a                    # panels of a layer's inputs, and of its outputs
    char *out
    char *columns              # of `output`
    char *answers              # row-major, where they are to be converted
    # Where rows go together, one panel of weights, one of biases, and what layer normalization takes, a
    # number a row.
    char *w
    char *b
    void *inverse
    # Or where a row goes alone, some rows of weights, converted, are at w.


cdef class RowNetwork:
    """A network for few rows at a time, over the arrays of its parameters where they are, or over copies,
    which are aligned and so read sooner.

    activations: (number, parameter, address of an own one or 0) of every hidden layer; scales and shifts: of
    layer normalization, or empty. Arrays of another layout are converted, and those of another dtype, but for
    weights of the other float, which are converted as they are packed. Nothing changes after construction.
    """
    cdef const Kernels *kernels
    cdef RowLayer *layers
    # copies, and what kernels read in whole vectors: a narrow layer's weights, scales and shifts
    cdef char *packed
    cdef list arrays           # which the layers point to
    cdef int n_layers, loss
    cdef bint converts         # some weights are of the other float
    cdef ptrdiff_t n_inputs, n_outputs, widest, n_weights

    def __cinit__(self, isa, bint double_precision, activations, int loss, double norm_eps, list coefs,
                  list intercepts, list scales, list shifts,
                  bint copies=False):
        cdef RowLayer *layer
        cdef Arena arena = Arena()
        cdef cnp.ndarray coef
        cdef int i
        self.kernels = nnfast_kernels(_ISAS[isa], double_precision)
        if self.kernels == NULL:
            raise ValueError(f"instruction set {isa!r} is not available")
        self.n_layers, self.loss = len(coefs), loss
        if not (self.n_layers == len(intercepts) == len(activations) + 1 and len(scales) == len(shifts)
                and len(scales) in (0, len(activations))):
            raise ValueError(
                f"{len(activations)} hidden layers must have as many activations, scales and shifts (or "
                f"none), and one more arrays of weights and of biases, got {len(scales)}, {len(shifts)}, "
                f"{len(coefs)}, {len(intercepts)}")
        self.layers = <RowLayer *> calloc(self.n_layers, sizeof(RowLayer))
        if self.layers == NULL:
            raise MemoryError
        self.arrays = []
        for i in range(self.n_layers):
            layer = self.layers + i
            coef = self.kept(coefs[i]) if is_matrix(coefs[i]) and not copies else self.readable(coefs[i])
            if coef.ndim != 2 or (i > 0 and coef.shape[0] != (layer - 1).n_out):
                raise ValueError(f"the weights of layer {i} must have two dimensions, and a row for each "
                                 f"unit of the layer below, got shape {np.shape(coef)}")
            layer.w, layer.n_in, layer.n_out = pointer(coef), coef.shape[0], coef.shape[1]
            layer.step = coef.shape[1]
            layer.is_double = cnp.PyArray_TYPE(coef) == cnp.NPY_FLOAT64
            layer.narrow = i == self.n_layers - 1 and layer.n_out <= NARROW  # as in nnfast/planner.py
            layer.b = self.vector(intercepts, i)
            if i < self.n_layers - 1:
                layer.activation, layer.parameter, address = activations[i]
                layer.own = <own_activation_fn *> <uintptr_t> address
                if scales:
                    layer.norm.epsilon = norm_eps
                    layer.norm.scale = self.vector(scales, i)
                    layer.norm.shift = self.vector(shifts, i)
            self.widest = max(self.widest, layer.n_in, layer.n_out)
            self.n_weights += layer.n_in * layer.n_out
            self.converts = self.converts or (layer.is_double != double_precision and not layer.narrow)
        self.n_inputs, self.n_outputs = self.layers[0].n_in, (self.layers + self.n_layers - 1).n_out
        self.pack(arena, copies)
        if arena.used:
            self.packed = <char *> calloc(arena.used + 64, 1)
            if self.packed == NULL:
                raise MemoryError
            arena = Arena()
            arena.base = aligned(self.packed)
            self.pack(arena, copies)
        if copies:
            self.arrays = None

    def __dealloc__(self):
        free(self.layers)
        free(self.packed)

    cdef cnp.ndarray readable(self, array):
        """The array as the kernels can read it."""
        return self.kept(PyArray_FROM_OTF(array, float_type(self.kernels.real_bytes == 8),
                                          NPY_ARRAY_CARRAY_RO | NPY_ARRAY_FORCECAST))

    cdef cnp.ndarray kept(self, x):
        self.arrays.append(x)
        return x

    cdef void *vector(self, list arrays, int i) except NULL:
        """One number a unit of layer i."""
        cdef cnp.ndarray x = self.readable(arrays[i])
        if x.ndim != 1 or x.shape[0] != self.layers[i].n_out:
            raise ValueError(f"a vector of layer {i} must be of shape ({self.layers[i].n_out},), got "
                             f"{np.shape(x)}")
        return pointer(x)

    cdef pack(self, Arena arena, bint copies):
        """Add up what is to be packed, or with memory, pack it."""
        cdef RowLayer *layer
        cdef void *piece
        cdef int i
        for i in range(self.n_layers):
            layer = self.layers + i
            if layer.narrow:
                piece = arena.take(times(self.padded(layer.n_in), layer.n_out), self.kernels.real_bytes)
                if piece != NULL:
                    self.kernels.pack_transposed(layer.w, layer.is_double, layer.n_in, layer.n_out, piece)
                    layer.w = piece
            elif copies:
                layer.w = self.copied(arena, layer.w, layer.n_in, layer.n_out)
                layer.step = self.padded(layer.n_out) if arena.base != NULL else layer.n_out
            if copies:
                layer.b = self.copied(arena, layer.b, 1, layer.n_out)
            if layer.norm.scale != NULL:
                layer.norm.scale = <void *> self.copied(arena, layer.norm.scale, 1, layer.n_out)
                layer.norm.shift = <void *> self.copied(arena, layer.norm.shift, 1, layer.n_out)

    cdef const void *copied(self, Arena arena, const void *rows, ptrdiff_t n_rows, ptrdiff_t n) except NULL:
        """The rows with zeros up to whole panels; without memory, these rows."""
        cdef size_t real = self.kernels.real_bytes
        cdef char *piece = <char *> arena.take(times(n_rows, self.padded(n)), real)
        cdef ptrdiff_t i
        if piece == NULL:
            return rows
        for i in range(n_rows):
            memcpy(piece + i * self.padded(n) * real, <const char *> rows + i * n * real, n * real)
        return piece

    cdef inline ptrdiff_t padded(self, ptrdiff_t n) noexcept nogil:
        return (n + self.kernels.panel - 1) // self.kernels.panel * self.kernels.panel

    cdef void forward_one(self, int i, char *a, char *out, Scratch *scratch) noexcept nogil:
        """One row, with zeros in its pads, through a layer."""
        cdef RowLayer *layer = self.layers + i
        cdef const Kernels *kernels = self.kernels
        cdef size_t real = kernels.real_bytes
        cdef ptrdiff_t n = layer.n_out, end = self.padded(n)
        cdef Norm norm
        cdef double inverse
        if layer.narrow:
            kernels.forward_narrow(a, kernels.panel, 1, layer.w, layer.n_in, n, layer.b, out)
            memset(out + n * real, 0, (end - n) * real)
            return
        memcpy(out, layer.b, n * real)
        memset(out + n * real, 0, (end - n) * real)
        if layer.is_double == (real == 8):
            kernels.forward_row(a, layer.w, layer.step, layer.n_in, n, out)
        else:
            self.forward_strips(layer, a, out, scratch.w)
        memset(out + n * real, 0, (end - n) * real)
        if layer.norm.scale != NULL:
            norm = layer.norm
            norm.inverse = &inverse
            kernels.normalize_rows(out, out, kernels.panel, 1, n, &norm, 0)
        if layer.activation != ACTIVATION_IDENTITY:
            activate(kernels, layer.activation, layer.parameter, layer.own, out, NULL, end)
            memset(out + n * real, 0, (end - n) * real)

    cdef void forward_strips(self, RowLayer *layer, const char *a, char *out, char *strip) noexcept nogil:
        """out += a @ w for one row: some rows of w after the other, converted to the kernels' float. The
        sums' order is that of forward_row.
        """
        cdef size_t real = self.kernels.real_bytes
        cdef ptrdiff_t step = self.padded(layer.n_out), most = max(<ptrdiff_t> 1, STRIP // step), start = 0
        cdef ptrdiff_t rows, i
        cdef const char *w = <const char *> layer.w
        while start < layer.n_in:
            rows = min(most, layer.n_in - start)
            for i in range(rows):
                convert(w, layer.is_double, layer.n_out, strip + i * step * real, real == 8, False)
                w += layer.step * (8 if layer.is_double else 4)
            self.kernels.forward_row(a + start * real, strip, step, rows, layer.n_out, out)
            start += rows

    cdef void forward_together(self, int i, ptrdiff_t rows, ptrdiff_t stride, const char *a, char *out,
                               Scratch *scratch) noexcept nogil:
        """Some rows, in panels with zeros in their pads, through a layer."""
        cdef RowLayer *layer = self.layers + i
        cdef const Kernels *kernels = self.kernels
        cdef size_t real = kernels.real_bytes
        cdef ptrdiff_t panel = kernels.panel, n = layer.n_out, at, used, p
        cdef bint fuses = layer.norm.scale == NULL and can_be_fused(layer.activation)
        cdef Norm norm
        if layer.narrow:
            kernels.forward_narrow(a, stride, rows, layer.w, layer.n_in, n, layer.b, out)
            return
        for p in range((n + panel - 1) // panel):
            at = p * panel
            used = min(panel, n - at)
            kernels.pack(<const char *> layer.w + at * (8 if layer.is_double else 4), layer.is_double,
                         layer.step, layer.n_in, used, scratch.w)
            memcpy(scratch.b, <const char *> layer.b + at * real, used * real)
            kernels.forward(a, stride, rows, scratch.w, layer.n_in, scratch.b, out + p * stride * real,
                            2 if 2 * used > panel else 1,
                            layer.activation if fuses else ACTIVATION_IDENTITY, layer.parameter)
        self.clear_pads(out, rows, stride, n)
        if layer.norm.scale != NULL:
            norm = layer.norm
            norm.inverse = scratch.inverse
            kernels.normalize_rows(out, out, stride, rows, n, &norm, 0)
        if not fuses and layer.activation != ACTIVATION_IDENTITY:
            for p in range((n + panel - 1) // panel):
                activate(kernels, layer.activation, layer.parameter, layer.own, out + p * stride * real, NULL,
                         rows * panel)
            self.clear_pads(out, rows, stride, n)

    cdef inline void clear_pads(self, char *out, ptrdiff_t rows, ptrdiff_t stride,
                                ptrdiff_t n) noexcept nogil:
        if n % self.kernels.panel:
            self.kernels.clear_pads(out + n // self.kernels.panel * stride * self.kernels.real_bytes, rows, n)

    cdef int run(self, cnp.ndarray x, ptrdiff_t rows, char *out, bint gives_double,
                 bint pairs) noexcept nogil:
        """Outputs of the first rows of x, float32 or float64, row-major in `out`; pairs: each as 1 - p and p.
        -1 where there is no memory.
        """
        cdef const Kernels *kernels = self.kernels
        cdef size_t real = kernels.real_bytes, widest = self.padded(self.widest)
        cdef bint direct = gives_double == (real == 8) and not pairs
        cdef gather_fn *gather = kernels.gather[<int> (SOURCE_FLOAT64
                                                       if cnp.PyArray_TYPE(x) == cnp.NPY_FLOAT64
                                                       else SOURCE_FLOAT32)]
        cdef const char *source = <const char *> cnp.PyArray_DATA(x)
        cdef ptrdiff_t row_bytes = cnp.PyArray_STRIDE(x, 0), column_bytes = cnp.PyArray_STRIDE(x, 1), first
        cdef ptrdiff_t count
        cdef ptrdiff_t together = 1, stride = kernels.panel
        cdef ptrdiff_t out_bytes = self.n_outputs * (2 if pairs else 1) * (8 if gives_double else 4)
        cdef ptrdiff_t index[MOST_TOGETHER]
        cdef Scratch scratch
        cdef char *a
        cdef char *b
        cdef int i
        if rows > (SINGLE_ROWS if not self.converts else 1 if self.n_weights > MANY_WEIGHTS else 0):
            together = min(rows, min(<ptrdiff_t> MOST_TOGETHER,
                                     max(<ptrdiff_t> SINGLE_ROWS, <ptrdiff_t> (NUMBERS_TOGETHER // widest))))
            stride = (together + 1) * kernels.panel  # some more, so that it is no power of two
        if not open_scratch(&scratch, self, together, stride):
            return -1
        for i in range(together):
            index[i] = i
        a, b = scratch.a, scratch.out
        first = 0
        while first < rows:
            count = min(together, rows - first)
            gather(source + first * row_bytes, row_bytes, column_bytes, index, count, self.n_inputs, a,
                   stride)
            for i in range(self.n_layers):
                if stride > kernels.panel:
                    self.forward_together(i, count, stride, a, b, &scratch)
                else:
                    self.forward_one(i, a, b, &scratch)
                a, b = b, a
            kernels.output(self.loss, a, stride, count, self.n_outputs, scratch.columns,
                           out if direct else scratch.answers)
            if not direct:
                convert(scratch.answers, real == 8, count * self.n_outputs, out, gives_double, pairs)
            out += count * out_bytes
            first += count
        free(scratch.memory)
        return 0

    cdef predict_into(self, cnp.ndarray x, ptrdiff_t rows, cnp.ndarray out, bint gives_double, bint pairs):
        cdef char *answer = <char *> pointer(out)
        cdef int status
        if rows * self.n_weights < NUMBERS_WITH_GIL:
            status = self.run(x, rows, answer, gives_double, pairs)
        else:
            with nogil:
                status = self.run(x, rows, answer, gives_double, pairs)
        if status < 0:
            raise MemoryError


cdef bint open_scratch(Scratch *scratch, RowNetwork network, ptrdiff_t rows, ptrdiff_t stride) noexcept nogil:
    """Memory for so many rows together, `stride` numbers from a panel to the next; with zeros where pads have
    to be. False where there is none.
    """
    cdef size_t panel = network.kernels.panel, real = network.kernels.real_bytes
    cdef size_t outputs = network.padded(network.n_outputs)
    cdef size_t activations = network.padded(network.widest) // panel * stride * real
    cdef size_t answers = rows * outputs * real, columns = outputs * panel * real, weights = 0
    cdef bint together = stride > <ptrdiff_t> panel
    if together:
        weights = network.widest * panel * real
    elif network.converts:
        weights = max(<size_t> STRIP, <size_t> network.padded(network.widest)) * real
    scratch.memory = malloc(64 + 2 * activations + answers + columns + weights + panel * real
                            + rows * sizeof(double))
    if scratch.memory == NULL:
        return False
    scratch.a = aligned(<char *> scratch.memory)
    scratch.out = scratch.a + activations
    scratch.answers = scratch.out + activations
    scratch.columns = scratch.answers + answers
    scratch.w = scratch.columns + columns
    scratch.b = scratch.w + weights
    scratch.inverse = scratch.b + panel * real
    if together:
        memset(scratch.w, 0, weights + panel * real)
    return True


cdef inline bint are_few(ptrdiff_t rows, ptrdiff_t n_inputs, ptrdiff_t n_weights) noexcept:
    return rows <= FEW_ROWS or (rows <= FEW_NUMBERS // max(n_inputs,
                                                           <ptrdiff_t> 1)
                                and rows <= FEW_PRODUCTS // max(n_weights, <ptrdiff_t> 1))


def predict_few(isa, bint double_precision, tuple settings, tuple arrays, x):
    """Outputs, shape (n_rows, n_outputs), by a RowNetwork of these settings and arrays; None where x is no
    table of few rows of readable floats.
    """
    cdef list coefs = arrays[0]
    cdef cnp.npy_intp shape[2]
    cdef ptrdiff_t n_weights = 0
    cdef cnp.ndarray table
    if not isinstance(x, cnp.ndarray):
        return None
    table = x
    if table.ndim != 2 or not is_of_floats(table):
        return None
    for coef in coefs:
        n_weights += (<cnp.ndarray?> coef).size
    if not are_few(table.shape[0], table.shape[1], n_weights):
        return None
    network = RowNetwork(isa, double_precision, *settings, *arrays)
    shape[0], shape[1] = table.shape[0], (<RowNetwork> network).n_outputs
    if table.shape[1] != (<RowNetwork> network).n_inputs:
        raise ValueError(f"X has {table.shape[1]} features, the network "
                         f"{(<RowNetwork> network).n_inputs} inputs")
    out = cnp.PyArray_EMPTY(2, shape, float_type(double_precision), 0)
    (<RowNetwork> network).predict_into(table, shape[0], out, double_precision, False)
    return out


cdef inline int float_type(bint is_double) noexcept nogil:
    return cnp.NPY_FLOAT64 if is_double else cnp.NPY_FLOAT32


cdef inline char *aligned(char *memory) noexcept nogil:
    return <char *> ((<uintptr_t> memory + 63) & ~<uintptr_t> 63)


cdef void convert(const char *row, bint from_double, ptrdiff_t n, char *out, bint to_double,
                  bint pairs) noexcept nogil:
    """Numbers of one float type as another; pairs: each p as 1 - p and p, in the latter."""
    cdef ptrdiff_t j
    cdef double p
    if from_double and not to_double and not pairs:
        for j in range(n):
            (<float *> out)[j] = <float> (<const double *> row)[j]
        return
    for j in range(n):
        p = (<const double *> row)[j] if from_double else (<const float *> row)[j]
        if to_double:
            if pairs:
                (<double *> out)[2 * j] = 1 - p
            (<double *> out)[(1 + pairs) * j + pairs] = p
        else:
            if pairs:
                (<float *> out)[2 * j] = <float> 1 - <float> p
            (<float *> out)[(1 + pairs) * j + pairs] = <float> p


cdef inline bint is_matrix(x) noexcept:
    """Whether pack() can read it."""
    return isinstance(x, cnp.ndarray) and is_of_floats(x) and cnp.PyArray_IS_C_CONTIGUOUS(x)


cdef inline bint is_of_floats(cnp.ndarray x) noexcept:
    """Whether the kernels can read x: float32 or float64, aligned, in native byte order."""
    return (cnp.PyArray_TYPE(x) == cnp.NPY_FLOAT64
            or cnp.PyArray_TYPE(x) == cnp.NPY_FLOAT32) and cnp.PyArray_ISBEHAVED_RO(x)
