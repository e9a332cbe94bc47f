# Every kernel on ordinary row-major arrays: what the engine does to one layer, one loss, one update, alone.
#
# For tests and benchmarks, which must reach each entry of the Kernels table in each dtype and instruction
# set: STANDALONE lists the entries and the method of KernelTable that calls each. Arrays are packed into
# panels and back in standalone_dense.pxi, which has the kernels of dense layers; arguments are trusted, as
# everywhere in this folder.

include "standalone_dense.pxi"

STANDALONE = {
    "gather": "gather", "densify": "densify", "transpose_csr": "dense_gradient_sparse",
    "forward": "dense_forward", "forward_narrow": "dense_forward_narrow", "forward_row": "dense_forward_row",
              "forward_sparse": "dense_forward_sparse",
    "backward": "dense_backward", "clear_pads": "dense_forward",
    "activate": "activation", "derive": "derivative", "drop": "drop",
    "normalize_columns": "normalize_columns", "normalize_by_running": "normalize_by_running",
              "normalize_columns_back": "normalize_columns",
    "normalize_rows": "normalize_rows", "normalize_rows_back": "normalize_rows",
    "loss_and_gradient": "loss", "output": "output",
    "gradient_block": "dense_gradient", "gradient_block_sparse": "dense_gradient_sparse",
              "gradient_vector": "dense_gradient",
    "apply_block": "dense_gradient", "apply_vector": "dense_gradient", "limit_columns": "limited",
    "transpose_block": "transposed", "update": "update", "square_sums": "squares",
    "are_finite": "are_finite", "pack": "packed", "unpack": "packed", "pack_transposed": "packed_transposed",
              "unpack_transposed": "packed_transposed",
    "map": "map", "multiply_add": "multiply_add",
}
FUNCTIONS = {"exp": FUNCTION_EXP, "log": FUNCTION_LOG, "log1p_unit": FUNCTION_LOG1P_UNIT,
             "sqrt": FUNCTION_SQRT,
             "reciprocal": FUNCTION_RECIPROCAL}


cdef class KernelTable(DenseKernels):
    """The kernels of one instruction set and dtype.

    Parameters
    ----------
    isa : str
        One of instruction_sets().
    dtype : float32 or float64
        Of every array that goes in, unless said otherwise, and of every result.
    """

    def gather(self, X, const ptrdiff_t[::1] index):
        """X[index] in the table's dtype, from any supported number type and strides."""
        out = np.full((-(-X.shape[1] // self.panel), index.shape[0], self.panel), np.nan, self.dtype)
        source = SOURCES["uint8" if X.dtype == bool else X.dtype.name]
        self.kernels.gather[<int> source](<const char *> pointer(X), X.strides[0], X.strides[1], &index[0],
                                          index.shape[0], X.shape[1],
                                          pointer(out), index.shape[0] * self.panel)
        if out.transpose(1, 0, 2).reshape(index.shape[0], -1)[:, X.shape[1]:].any():
            raise AssertionError("gather left something in the pads")
        return self._columns(out, X.shape[1])

    def densify(self, X, const ptrdiff_t[::1] index):
        """The rows X[index] of a CSR array of float32 or float64, dense."""
        cdef Csr csr = csr_of(X)
        out = np.full((-(-X.shape[1] // self.panel), index.shape[0], self.panel), np.nan, self.dtype)
        self.kernels.densify(&csr, &index[0], index.shape[0], X.shape[1], pointer(out),
                             index.shape[0] * self.panel)
        return self._columns(out, X.shape[1])

    def are_finite(self, x, double scale=1):
        """Whether all numbers times `scale` are finite."""
        return bool(self.kernels.are_finite(pointer(x), x.size, scale))

    def packed(self, w):
        """w after packing and unpacking; float32 or float64 in and out."""
        panels, out = self._panels(np.zeros(w.shape)), np.empty_like(w)
        self.kernels.pack(pointer(w), w.itemsize == 8, w.shape[1], w.shape[0], w.shape[1], pointer(panels))
        if not np.array_equal(self._columns(panels, w.shape[1]), w.astype(self.dtype)):
            raise AssertionError("pack does not lay weights out in panels")
        self.kernels.unpack(pointer(panels), w.shape[0], w.shape[1], pointer(out), w.itemsize == 8)
        return out

    def packed_transposed(self, w):
        """The same in the layout of a narrow layer."""
        panels, out = self._transposed_panels(np.zeros(w.shape)), np.empty_like(w)
        self.kernels.pack_transposed(pointer(w), w.itemsize == 8, w.shape[0], w.shape[1], pointer(panels))
        if not np.array_equal(self._columns(panels, w.shape[0]).T, w.astype(self.dtype)):
            raise AssertionError("pack_transposed does not lay weights out in panels")
        self.kernels.unpack_transposed(pointer(panels), w.shape[0], w.shape[1], pointer(out), w.itemsize == 8)
        return out

    def activation(self, str name, z, double parameter=0):
        """activation(z), elementwise."""
        out = np.empty_like(z)
        self.kernels.activate(ACTIVATIONS[name], parameter, pointer(z), pointer(out), NULL, z.size)
        return out

    def activation_and_slope(self, str name, z, double parameter=0):
        """activation(z) and activation'(z), elementwise."""
        a, slope = np.empty_like(z), np.empty_like(z)
        self.kernels.activate(ACTIVATIONS[name], parameter, pointer(z), pointer(a), pointer(slope), z.size)
        return a, slope

    def derivative(self, str name, a, da, double parameter=0):
        """da * activation'(z), written by a = activation(z); or for "stored", by a itself."""
        out = np.empty_like(a)
        self.kernels.derive(_derivative(name), parameter, pointer(a), pointer(da), pointer(out), a.size)
        return out

    def drop(self, a, slope, double rate, uint64_t base, ptrdiff_t row=0, double scale=1, double shift=0,
             double dropped=0):
        """Dropout of a, shape (rows, units), and of the derivative there, for the batch's rows from `row` on:
        (a, slope).
        """
        cdef Dropout dropout = Dropout(<uint32_t> (rate * 4294967296.0), scale, shift, dropped)
        packed, packed_slope = self._panels(a), self._panels(slope)
        for p in range(packed.shape[0]):
            self.kernels.drop(&dropout, base, row, p * self.panel, a.shape[0],
                              2 if a.shape[1] - p * self.panel > self.panel // 2 else 1,
                              pointer(packed[p]), pointer(packed_slope[p]))
        return self._columns(packed, a.shape[1]), self._columns(packed_slope, a.shape[1])

    def normalize_columns(self, z, dout, scale, shift, mean, variance, double epsilon, double momentum,
                          bint learn=True):
        """Batch normalization and the way back: a dict of out, zhat, dz, dscale, dshift, and the running mean
        and variance after it.
        """
        cdef Norm norm
        cdef ptrdiff_t rows = z.shape[0], n = z.shape[1]
        packed, gradient = self._panels(z), self._panels(dout)
        zhat = np.zeros_like(packed)
        vectors = [self._row(x) for x in (scale, shift, mean,
                                          variance)] + [np.zeros((packed.shape[0], self.panel),
                                                                 self.dtype) for _ in range(3)]
        norm = Norm(epsilon, momentum, pointer(vectors[0]), pointer(vectors[1]), pointer(vectors[2]),
                    pointer(vectors[3]), pointer(vectors[4]),
                    pointer(vectors[5]), pointer(vectors[6]))
        for p in range(packed.shape[0]):
            count = 2 if n - p * self.panel > self.panel // 2 else 1
            self.kernels.normalize_columns(pointer(packed[p]), pointer(packed[p]), pointer(zhat[p]), rows,
                                           count, &norm, p, learn)
            self.kernels.normalize_columns_back(pointer(gradient[p]), pointer(zhat[p]), rows, count, &norm, p)
        flat = [vector.ravel()[:n].copy() for vector in vectors]
        return {"out": self._columns(packed, n), "zhat": self._columns(zhat, n),
                "dz": self._columns(gradient, n), "dscale": flat[5],
                "dshift": flat[6], "mean": flat[2], "variance": flat[3]}

    def normalize_by_running(self, z, scale, shift, mean, variance, double epsilon):
        """Batch normalization by given statistics."""
        cdef Norm norm
        packed = self._panels(z)
        vectors = [self._row(x) for x in (scale, shift, mean, variance)]
        norm = Norm(epsilon, 0, pointer(vectors[0]), pointer(vectors[1]), pointer(vectors[2]),
                    pointer(vectors[3]), NULL, NULL, NULL)
        for p in range(packed.shape[0]):
            self.kernels.normalize_by_running(pointer(packed[p]), z.shape[0],
                                              2 if z.shape[1] - p * self.panel > self.panel // 2 else 1,
                                              &norm, p)
        return self._columns(packed, z.shape[1])

    def normalize_rows(self, z, dout, scale, shift, double epsilon):
        """Layer normalization and the way back: a dict of out, zhat, dz."""
        cdef Norm norm
        cdef ptrdiff_t rows = z.shape[0], n = z.shape[1]
        packed, gradient = self._panels(z), self._panels(dout)
        zhat, dz, inverse = np.zeros_like(packed), np.zeros_like(packed), np.zeros(rows, self.dtype)
        vectors = self._row(scale), self._row(shift)
        norm = Norm(epsilon, 0, pointer(vectors[0]), pointer(vectors[1]), NULL, NULL, pointer(inverse), NULL,
                    NULL)
        self.kernels.normalize_rows(pointer(packed), pointer(zhat), rows * self.panel, rows, n, &norm, 0)
        self.kernels.normalize_rows_back(pointer(gradient), pointer(zhat), pointer(dz), rows * self.panel,
                                         rows, n, &norm, 0)
        for x in (packed, zhat, dz):
            if x.transpose(1, 0, 2).reshape(rows, -1)[:, n:].any():
                raise AssertionError("layer normalization left something in the pads")
        return {"out": self._columns(packed, n), "zhat": self._columns(zhat, n), "dz": self._columns(dz, n)}

    def loss(self, str name, y, z, weight=None, double gradient_scale=1, parameters=()):
        """(row_loss, dz): each row's loss in float64 and its gradient by z, both times weight. y: class
        numbers for the losses of classes.
        """
        own = np.array(parameters, np.float64)
        cdef Loss loss = Loss(LOSSES[name], gradient_scale, NULL, LOSSES[name], False, NULL)
        if own.size:
            loss.parameters = <const double *> pointer(own)
        rows, n_out = z.shape
        panels = self._panels(z)
        index = np.arange(rows)
        cdef const ptrdiff_t[::1] at = index
        row_loss, scratch = np.zeros(rows + self.panel), np.zeros(n_out * self.panel, self.dtype)
        self.kernels.loss_and_gradient(&loss, pointer(panels), rows * self.panel, rows, n_out, pointer(y),
                                       <const ptrdiff_t *> pointer(y), &at[0],
                                       NULL if weight is None else <double *> pointer(weight), True,
                                       pointer(scratch), <double *> pointer(row_loss))
        return row_loss[:rows], self._columns(panels, n_out)

    def output(self, str name, z):
        """The output activation that belongs to the loss."""
        rows, n_out = z.shape
        panels, out, scratch = self._panels(z), np.empty_like(z), np.zeros(n_out * self.panel, self.dtype)
        self.kernels.output(LOSSES[name], pointer(panels), rows * self.panel, rows, n_out, pointer(scratch),
                            pointer(out))
        return out

    def update(self, str kind, w, sums, moments=(), **settings):
        """One step of the optimizer on flat arrays, in place: w and moments."""
        cdef Update u = update_of(kind, settings)
        self.kernels.update(&u, pointer(w), pointer(sums), pointer(moments[0]) if len(moments) > 0 else NULL,
                            pointer(moments[1]) if len(moments) > 1 else NULL, w.size)

    def map(self, str function, x):
        """One of FUNCTIONS, elementwise."""
        out = np.empty_like(x)
        self.kernels.map(FUNCTIONS[function], pointer(x), pointer(out), x.size)
        return out

    def multiply_add(self, ptrdiff_t rounds):
        """Run multiply-adds in registers alone, without the GIL; the number of operations done (two a
        multiply-add and lane).
        """
        cdef double result, operations
        with nogil:
            operations = self.kernels.multiply_add(rounds, &result)
        return operations
