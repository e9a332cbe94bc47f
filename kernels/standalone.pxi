# Every kernel on ordinary row-major arrays: what the engine does to one layer, one loss, one update, alone.
#
# For tests and benchmarks, which must reach each entry of the Kernels table in each dtype and instruction set: STANDALONE lists the entries
# and the method of Table that calls each. Arrays are packed into panels and back here; arguments are trusted, as everywhere in this folder.

STANDALONE = {
    "gather": "gather", "densify": "densify", "transpose_csr": "dense_gradient_sparse",
    "forward": "dense_forward", "forward_narrow": "dense_forward_narrow", "forward_sparse": "dense_forward_sparse",
    "backward": "dense_backward", "clear_pads": "dense_forward",
    "activate": "activation", "derive": "derivative", "lose": "loss", "output": "output",
    "gradient_block": "dense_gradient", "gradient_block_sparse": "dense_gradient_sparse", "gradient_bias": "dense_gradient",
    "transpose_block": "transposed", "update": "update", "square_sums": "squares",
    "pack": "packed", "unpack": "packed", "pack_transposed": "packed_transposed", "unpack_transposed": "packed_transposed",
    "map": "map", "multiply_add": "multiply_add",
}
FUNCTIONS = {"exp": FUNCTION_EXP, "log": FUNCTION_LOG, "log1p_unit": FUNCTION_LOG1P_UNIT, "sqrt": FUNCTION_SQRT,
             "reciprocal": FUNCTION_RECIPROCAL}


cdef Update update_of(str kind, settings) except *:
    cdef Update u
    memset(&u, 0, sizeof(Update))
    u.kind = UPDATES[kind]
    u.scale = settings.get("scale", 1.0)
    u.decay = settings.get("decay", 0.0)
    u.rate = settings.get("rate", 0.0)
    u.momentum = settings.get("momentum", 0.0)
    u.nesterov = settings.get("nesterov", False)
    u.beta_1 = settings.get("beta_1", 0.0)
    u.beta_2 = settings.get("beta_2", 0.0)
    u.epsilon = settings.get("epsilon", 0.0)
    return u


cdef class Table:
    """The kernels of one instruction set and dtype.

    Parameters
    ----------
    isa : str
        One of instruction_sets().
    dtype : float32 or float64
        Of every array that goes in, unless said otherwise, and of every result.
    """
    cdef const Kernels *kernels
    cdef readonly object dtype
    cdef readonly int panel, tile

    def __init__(self, isa, dtype):
        self.dtype = np.dtype(dtype)
        self.kernels = nnfast_kernels(_ISAS[isa], self.dtype == np.float64)
        if self.kernels == NULL:
            raise ValueError(f"instruction set {isa!r} is not available")
        self.panel, self.tile = self.kernels.panel, self.kernels.tile

    # Panels: activations [ceil(n / NR)][rows][NR], weights [ceil(n_out / NR)][n_in][NR].

    def _panels(self, x):
        """Columns of x in panels, pads zero: also what weights look like packed."""
        rows, n = x.shape
        count = -(-n // self.panel)
        padded = np.zeros((rows, count * self.panel), self.dtype)
        padded[:, :n] = x
        return np.ascontiguousarray(padded.reshape(rows, count, self.panel).transpose(1, 0, 2))

    def _columns(self, panels, n):
        """The way back, without the pads."""
        count, rows, _ = panels.shape
        return np.ascontiguousarray(panels.transpose(1, 0, 2).reshape(rows, count * self.panel)[:, :n])

    def _row(self, b):
        return self._panels(np.asarray(b, self.dtype)[None, :])[:, 0, :].copy()

    def gather(self, X, const ptrdiff_t[::1] index):
        """X[index] in the table's dtype, from any supported number type and strides."""
        out = np.full((-(-X.shape[1] // self.panel), index.shape[0], self.panel), np.nan, self.dtype)
        source = SOURCES["uint8" if X.dtype == bool else X.dtype.name]
        self.kernels.gather[<int> source](<const char *> pointer(X), X.strides[0], X.strides[1], &index[0], index.shape[0], X.shape[1],
                                          pointer(out), index.shape[0] * self.panel)
        if out.transpose(1, 0, 2).reshape(index.shape[0], -1)[:, X.shape[1]:].any():
            raise AssertionError("gather left something in the pads")
        return self._columns(out, X.shape[1])

    def densify(self, X, const ptrdiff_t[::1] index):
        """The rows X[index] of a CSR array of float32 or float64, dense."""
        cdef Csr csr = csr_of(X)
        out = np.full((-(-X.shape[1] // self.panel), index.shape[0], self.panel), np.nan, self.dtype)
        self.kernels.densify(&csr, &index[0], index.shape[0], X.shape[1], pointer(out), index.shape[0] * self.panel)
        return self._columns(out, X.shape[1])

    def dense_forward(self, x, w, b, str activation):
        """activation(x @ w + b)."""
        cdef ptrdiff_t rows = x.shape[0], n_in = w.shape[0], n_out = w.shape[1], p
        packed_x, packed_w, packed_b = self._panels(x), self._panels(w), self._row(b)
        out = np.zeros((packed_w.shape[0], rows, self.panel), self.dtype)
        for p in range(out.shape[0]):
            self.kernels.forward(pointer(packed_x), rows * self.panel, rows, pointer(packed_w[p]), n_in, pointer(packed_b[p]),
                                 pointer(out[p]), 2 if n_out - p * self.panel > self.panel // 2 else 1, ACTIVATIONS[activation])
        self.kernels.clear_pads(pointer(out[out.shape[0] - 1]), rows, n_out - (out.shape[0] - 1) * self.panel)
        if out.transpose(1, 0, 2).reshape(rows, -1)[:, n_out:].any():
            raise AssertionError("forward left something in the pads")
        return self._columns(out, n_out)

    def dense_forward_narrow(self, x, w, b):
        """x @ w + b for at most NARROW outputs."""
        cdef ptrdiff_t rows = x.shape[0]
        packed_x, packed_w, packed_b = self._panels(x), self._transposed_panels(w), self._row(b)
        out = np.zeros((1, rows, self.panel), self.dtype)
        self.kernels.forward_narrow(pointer(packed_x), rows * self.panel, rows, pointer(packed_w), w.shape[0], w.shape[1],
                                    pointer(packed_b), pointer(out))
        return self._columns(out, w.shape[1])

    def dense_forward_sparse(self, X, const ptrdiff_t[::1] index, w, b, str activation):
        """activation(X[index] @ w + b), X a CSR array of float32 or float64."""
        cdef Csr csr = csr_of(X)
        packed_w, packed_b = self._panels(w), self._row(b)
        out = np.zeros((packed_w.shape[0], index.shape[0], self.panel), self.dtype)
        self.kernels.forward_sparse(&csr, &index[0], index.shape[0], pointer(packed_w), w.shape[0], w.shape[1], pointer(packed_b),
                                    pointer(out), index.shape[0] * self.panel, ACTIVATIONS[activation])
        return self._columns(out, w.shape[1])

    def dense_backward(self, dz, w, a_below, str activation):
        """(dz @ w.T) * activation'(below), the derivative written by the activation's value a_below."""
        cdef ptrdiff_t rows = dz.shape[0], n_in = w.shape[0], p
        packed_dz, packed_w, packed_a = self._panels(dz), self._transposed_panels(w), self._panels(a_below)
        out = np.zeros_like(packed_a)
        for p in range(out.shape[0]):
            self.kernels.backward(pointer(packed_dz), rows * self.panel, rows, pointer(packed_w[p]), w.shape[1], pointer(packed_a[p]),
                                  pointer(out[p]), 2 if n_in - p * self.panel > self.panel // 2 else 1, ACTIVATIONS[activation])
        return self._columns(out, n_in)

    def _transposed_panels(self, w):
        return np.ascontiguousarray(self._panels(np.ascontiguousarray(w.T)))

    def dense_gradient(self, x, dz, w, b, str kind="none", *, bint narrow=False, ptrdiff_t chunk_rows=1 << 30, moments=None, **settings):
        """One layer's gradients and, unless kind is "none", their update.

        The gradient is scale * sum + decay * w over all rows, which pass in chunks of chunk_rows. Returns a dict: w, b (or, for "none",
        dw, db), w_transposed as the backward pass would read it, moments [(m, bm), ...], squares: the sum of the new weights' squares.
        """
        return self._gradient(x, None, dz, w, b, kind, narrow, chunk_rows, moments, settings)

    def dense_gradient_sparse(self, X, dz, w, b, str kind="none", *, ptrdiff_t chunk_rows=1 << 30, moments=None, **settings):
        """dense_gradient for a CSR array X."""
        return self._gradient(None, X, dz, w, b, kind, False, chunk_rows, moments, settings)

    def _gradient(self, x, X, dz, w, b, str kind, bint narrow, ptrdiff_t chunk_rows, moments, settings):
        cdef Update u = update_of(kind, settings)
        cdef Gradient g
        cdef Csc csc
        cdef Csr csr
        cdef ptrdiff_t rows = dz.shape[0], start, p, k, panels
        cdef const ptrdiff_t[::1] index
        memset(&g, 0, sizeof(Gradient))
        pack = self._transposed_panels if narrow else self._panels
        packed = {"w": pack(w), "b": self._row(b)}
        packed["g"], packed["bg"] = np.full_like(packed["w"], 7), np.full_like(packed["b"], 7)
        if moments:
            for name, (m, bm) in zip("mv", moments):
                packed[name], packed["b" + name] = pack(m), self._row(bm)
        wt = np.zeros((-(-w.shape[0] // self.panel), w.shape[1], self.panel), self.dtype)
        squares = np.zeros((-(-w.shape[0] // BLOCK) + 1, (max(w.shape) // self.panel + 1) * self.panel))
        g.n_in, g.n_out, g.narrow, g.update = w.shape[0], w.shape[1], narrow, &u
        g.w, g.b = pointer(packed["w"]), pointer(packed["b"])
        g.wt = NULL if narrow or X is not None else pointer(wt)
        if rows > chunk_rows or u.kind == UPDATE_NONE:
            g.g, g.bg = pointer(packed["g"]), pointer(packed["bg"])
        if moments:
            g.m, g.bm = pointer(packed["m"]), pointer(packed["bm"])
            if len(moments) > 1:
                g.v, g.bv = pointer(packed["v"]), pointer(packed["bv"])
        panels = -(-w.shape[0 if narrow else 1] // self.panel)
        for start in range(0, rows, chunk_rows):
            part = slice(start, min(start + chunk_rows, rows))
            packed_dz = self._panels(dz[part])
            g.rows = packed_dz.shape[1]
            g.dz, g.stride = pointer(packed_dz), g.rows * self.panel
            g.add, g.finish = start > 0, part.stop == rows
            if X is None:
                packed_x = self._panels(x[part])
                g.a = pointer(packed_x)
            else:
                csr, index = csr_of(X), np.arange(part.start, part.stop)
                starts = np.zeros(w.shape[0] + 1, np.intp)
                entries = np.zeros(X.nnz + 1, np.int32), np.zeros(X.nnz + 1, self.dtype)
                csc.start, csc.row, csc.value = <ptrdiff_t *> pointer(starts), <int32_t *> pointer(entries[0]), pointer(entries[1])
                self.kernels.transpose_csr(&csr, &index[0], g.rows, w.shape[0], &csc)
            for p in range(panels):
                for k in range(1 if narrow else -(-w.shape[0] // BLOCK)):
                    at = <double *> pointer(squares[k, p * self.panel:])
                    if X is None:
                        self.kernels.gradient_block(&g, p, k * BLOCK, at)
                    else:
                        self.kernels.gradient_block_sparse(&g, &csc, p, k * BLOCK, at)
            for p in range(packed["b"].shape[0]):
                self.kernels.gradient_bias(&g, p, <double *> pointer(squares[squares.shape[0] - 1, p * self.panel:]))
        unpack = (lambda a: self._columns(a, w.shape[0]).T.copy()) if narrow else (lambda a: self._columns(a, w.shape[1]))
        flat = lambda a: a.ravel()[:w.shape[1]].copy()
        if u.kind == UPDATE_NONE:
            return {"dw": unpack(packed["g"]), "db": flat(packed["bg"])}
        return {
            "w": unpack(packed["w"]), "b": flat(packed["b"]),
            "w_transposed": None if g.wt == NULL else self._columns(wt, w.shape[0]),
            "moments": [(unpack(packed[name]), flat(packed["b" + name])) for name in "mv"[:len(moments or ())]],
            "squares": squares[:squares.shape[0] - 1].sum(),
        }

    def transposed(self, w):
        """w.T, by the kernel that keeps the transposed copy."""
        cdef Gradient g
        cdef ptrdiff_t p, k
        memset(&g, 0, sizeof(Gradient))
        packed = self._panels(w)
        wt = np.zeros((-(-w.shape[0] // self.panel), w.shape[1], self.panel), self.dtype)
        g.n_in, g.n_out, g.w, g.wt = w.shape[0], w.shape[1], pointer(packed), pointer(wt)
        for p in range(packed.shape[0]):
            for k in range(0, w.shape[0], BLOCK):
                self.kernels.transpose_block(&g, p, k, min(<ptrdiff_t> BLOCK, w.shape[0] - k))
        return self._columns(wt, w.shape[0])

    def squares(self, w):
        """The column sums of the squares of at most BLOCK rows of weights."""
        packed = self._panels(w)
        out = np.zeros((packed.shape[0], self.panel))
        for p in range(packed.shape[0]):
            self.kernels.square_sums(pointer(packed[p]), w.shape[0], 2 if w.shape[1] - p * self.panel > self.panel // 2 else 1,
                                     <double *> pointer(out[p]))
        return out.ravel()[:w.shape[1]]

    def packed(self, w):
        """w after packing and unpacking; float32 or float64 in and out."""
        panels, out = self._panels(np.zeros(w.shape)), np.empty_like(w)
        self.kernels.pack(pointer(w), w.itemsize == 8, w.shape[0], w.shape[1], pointer(panels))
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

    def activation(self, str name, z):
        """activation(z), elementwise."""
        out = np.empty_like(z)
        self.kernels.activate(ACTIVATIONS[name], pointer(z), pointer(out), z.size)
        return out

    def derivative(self, str name, a, da):
        """da * activation'(z), written by a = activation(z)."""
        out = np.empty_like(a)
        self.kernels.derive(ACTIVATIONS[name], pointer(a), pointer(da), pointer(out), a.size)
        return out

    def loss(self, str name, y, z, weight=None, double gradient_scale=1):
        """(row_loss, dz): each row's loss in float64 and its gradient by z, both times weight. y: class numbers for "log_loss"."""
        rows, n_out = z.shape
        panels = self._panels(z)
        index = np.arange(rows)
        cdef const ptrdiff_t[::1] at = index
        row_loss, scratch = np.zeros(rows + self.panel), np.zeros(n_out * self.panel, self.dtype)
        self.kernels.lose(LOSSES[name], pointer(panels), rows * self.panel, rows, n_out, pointer(y), <const ptrdiff_t *> pointer(y), &at[0],
                          NULL if weight is None else <double *> pointer(weight), gradient_scale, pointer(scratch),
                          <double *> pointer(row_loss))
        return row_loss[:rows], self._columns(panels, n_out)

    def output(self, str name, z):
        """The output activation that belongs to the loss."""
        rows, n_out = z.shape
        panels, out, scratch = self._panels(z), np.empty_like(z), np.zeros(n_out * self.panel, self.dtype)
        self.kernels.output(LOSSES[name], pointer(panels), rows * self.panel, rows, n_out, pointer(scratch), pointer(out))
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
        """Run multiply-adds in registers alone, without the GIL; the number of operations done (two a multiply-add and lane)."""
        cdef double result, operations
        with nogil:
            operations = self.kernels.multiply_add(rounds, &result)
        return operations


cdef Csr csr_of(X) except *:
    return Csr(pointer(X.data), pointer(X.indices), pointer(X.indptr), X.data.itemsize, X.indices.itemsize)
