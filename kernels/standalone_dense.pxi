# The kernels of dense layers on ordinary row-major arrays: see standalone.pxi.

cdef Update update_of(str kind, settings) except *:
    cdef Update u
    memset(&u, 0, sizeof(Update))
    u.kind = UPDATES[kind]
    u.scale = u.square_factor = u.scalars[<int> SCALAR_SHRINK] = 1
    for name, value in settings.items():
        if name == "scale": u.scale = value
        elif name == "decay": u.decay = value
        elif name == "clip": u.clip = value
        elif name == "threshold": u.threshold = value
        elif name == "measures": u.measures = value
        elif name == "square_factor": u.square_factor = value
        elif name == "absolute_factor": u.absolute_factor = value
        elif name in SCALARS: u.scalars[<int> SCALARS[name]] = value
        else:
            raise TypeError(f"an update has no {name!r}")
    return u


cdef Update of_vectors(Update u) noexcept:
    """The update of biases, scales and shifts, which are neither penalized nor shrunk."""
    u.decay = u.threshold = u.absolute_factor = 0
    u.square_factor = u.scalars[<int> SCALAR_SHRINK] = 1
    return u


cdef class DenseKernels:
    """The kernels of dense layers, of one instruction set and dtype, and the packing of their arrays; not for
    use by itself.
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

    def _transposed_panels(self, w):
        return np.ascontiguousarray(self._panels(np.ascontiguousarray(w.T)))

    def dense_forward(self, x, w, b, str activation, double parameter=0):
        """activation(x @ w + b), the activation one of those that the product's epilogue does."""
        cdef ptrdiff_t rows = x.shape[0], n_in = w.shape[0], n_out = w.shape[1], p
        packed_x, packed_w, packed_b = self._panels(x), self._panels(w), self._row(b)
        out = np.zeros((packed_w.shape[0], rows, self.panel), self.dtype)
        for p in range(out.shape[0]):
            self.kernels.forward(pointer(packed_x), rows * self.panel, rows, pointer(packed_w[p]), n_in,
                                 pointer(packed_b[p]),
                                 pointer(out[p]), 2 if n_out - p * self.panel > self.panel // 2 else 1,
                                 ACTIVATIONS[activation], parameter)
        self.kernels.clear_pads(pointer(out[out.shape[0] - 1]), rows, n_out - (out.shape[0] - 1) * self.panel)
        if out.transpose(1, 0, 2).reshape(rows, -1)[:, n_out:].any():
            raise AssertionError("forward left something in the pads")
        return self._columns(out, n_out)

    def dense_forward_narrow(self, x, w, b):
        """x @ w + b for at most NARROW outputs."""
        cdef ptrdiff_t rows = x.shape[0]
        packed_x, packed_w, packed_b = self._panels(x), self._transposed_panels(w), self._row(b)
        out = np.zeros((1, rows, self.panel), self.dtype)
        self.kernels.forward_narrow(pointer(packed_x), rows * self.panel, rows, pointer(packed_w), w.shape[0],
                                    w.shape[1],
                                    pointer(packed_b), pointer(out))
        return self._columns(out, w.shape[1])

    def dense_forward_row(self, x, w, b):
        """x @ w + b, each row by itself; w may be a part of the columns of a row-major array."""
        cdef ptrdiff_t n_in = w.shape[0], n_out = w.shape[1], i
        packed_x, out = self._panels(x), np.empty((x.shape[0], n_out), self.dtype)
        for i in range(x.shape[0]):
            row, sums = np.ascontiguousarray(packed_x[:, i]), self._row(b)
            self.kernels.forward_row(pointer(row), pointer(w), w.strides[0] // w.itemsize, n_in, n_out,
                                     pointer(sums))
            out[i] = sums.ravel()[:n_out]
        return out

    def dense_forward_sparse(self, X, const ptrdiff_t[::1] index, w, b, double rate=0, uint64_t base=0,
                             ptrdiff_t row=0):
        """X[index] @ w + b, X a CSR array of float32 or float64, after dropout of inputs."""
        cdef Csr csr = csr_of(X)
        cdef Dropout dropout = Dropout(<uint32_t> (rate * 4294967296.0), 1 / (1 - rate), 0, 0)
        packed_w, packed_b = self._panels(w), self._row(b)
        out = np.zeros((packed_w.shape[0], index.shape[0], self.panel), self.dtype)
        self.kernels.forward_sparse(&csr, &index[0], index.shape[0], pointer(packed_w), w.shape[0],
                                    w.shape[1], pointer(packed_b),
                                    pointer(out), index.shape[0] * self.panel, &dropout if rate > 0 else NULL,
                                    base, row)
        return self._columns(out, w.shape[1])

    def dense_backward(self, dz, w, a_below, str activation, double parameter=0):
        """(dz @ w.T) * activation'(below), the derivative written by the activation's value a_below; or for
        "stored", being a_below.
        """
        cdef ptrdiff_t rows = dz.shape[0], n_in = w.shape[0], p
        packed_dz, packed_w, packed_a = self._panels(dz), self._transposed_panels(w), self._panels(a_below)
        out = np.zeros_like(packed_a)
        for p in range(out.shape[0]):
            self.kernels.backward(pointer(packed_dz), rows * self.panel, rows, pointer(packed_w[p]),
                                  w.shape[1], pointer(packed_a[p]),
                                  pointer(out[p]), 2 if n_in - p * self.panel > self.panel // 2 else 1,
                                  _derivative(activation), parameter)
        return self._columns(out, n_in)

    def dense_gradient(self, x, dz, w, b, str kind="none", *, bint narrow=False, ptrdiff_t chunk_rows=1 << 30,
                       moments=None, norm=None, factor=None,
                       **settings):
        """One layer's gradients and, unless kind is "none", their update.

        The gradient is scale * sum + decay * w over all rows, which pass in chunks of chunk_rows. norm:
        (scale, shift, dout, zhat, whether their sums are known) of the layer's normalization. factor: the
        gradient is completed first, and multiplied by it before the update.

        Returns a dict: w, b, scale, shift, or for "none" dw, db, dscale, dshift; w_transposed as the backward
        pass would read it; moments, each with its arrays in that order; squares: what the update reports of
        the weights; gradient_squares: with factor, those of the whole gradient.
        """
        return self._gradient(x, None, dz, w, b, kind, narrow, chunk_rows, moments, norm, factor, settings)

    def dense_gradient_sparse(self, X, dz, w, b, str kind="none", *, ptrdiff_t chunk_rows=1 << 30,
                              moments=None, norm=None, factor=None,
                              double rate_in=0, uint64_t base=0, **settings):
        """dense_gradient for a CSR array X, after dropout of inputs at rate_in."""
        return self._gradient(None, X, dz, w, b, kind, False, chunk_rows, moments, norm, factor, settings,
                              rate_in, base)

    def _gradient(self, x, X, dz, w, b, str kind, bint narrow, ptrdiff_t chunk_rows, moments, norm, factor,
                  settings, double rate_in=0,
                  uint64_t base=0):
        cdef Update u = update_of(kind, settings), spared
        cdef Weights g
        cdef Vector[3] vectors             # bias, and of a normalization scale and shift
        cdef int i, n_vectors
        cdef Csc csc
        cdef Csr csr
        cdef Dropout dropout = Dropout(<uint32_t> (rate_in * 4294967296.0), 1 / (1 - rate_in), 0, 0)
        cdef ptrdiff_t rows = dz.shape[0], start, p, k, panels
        cdef const ptrdiff_t[::1] index
        memset(&g, 0, sizeof(Weights))
        pack = self._transposed_panels if narrow else self._panels

        def unpack(a):
            return self._columns(a, w.shape[0]).T.copy() if narrow else self._columns(a, w.shape[1])

        def flat(a):
            return a.ravel()[:w.shape[1]].copy()

        # every learned array with its gradient's sums (of numbers that must not show) and its moments
        names, learned = ["w", "b", "scale", "shift"][:4 if norm else 2], [w, b, *(norm or ())[:2]]
        packed = [[(self._row if i else pack)(a) for a in (array, np.full_like(array, 7),
                                                           *(moment[i] for moment in moments or ()))]
                  for i, array in enumerate(learned)]
        wt = np.zeros((-(-w.shape[0] // self.panel), w.shape[1], self.panel), self.dtype)
        blocks = 1 if narrow else -(-w.shape[0] // BLOCK)
        squares = np.zeros((blocks + 3, (max(w.shape) // self.panel + 1) * self.panel))
        cdef bint sums = rows > chunk_rows or u.kind == UPDATE_NONE or factor is not None
        if factor is not None:
            u.kind, u.measures = UPDATE_NONE, True
        spared = of_vectors(u)
        g.n_in, g.n_out, g.narrow, g.update = w.shape[0], w.shape[1], narrow, &u
        weights = _vector(packed[0], sums)
        g.w, g.m, g.v, g.g = weights.w, weights.m, weights.v, weights.g
        n_vectors = len(packed) - 1
        for i in range(n_vectors):
            vectors[i] = _vector(packed[i + 1], sums)
            vectors[i].n, vectors[i].update = w.shape[1], &spared
        known = None
        if norm:
            dout, zhat, known = norm[2:]
            known = [self._row(a) for a in ((dout * zhat).sum(axis=0), dout.sum(axis=0))] if known else None
            if known:
                vectors[1].sum, vectors[2].sum = pointer(known[0]), pointer(known[1])
        g.wt = NULL if narrow or X is not None else pointer(wt)
        panels = -(-w.shape[0 if narrow else 1] // self.panel)
        for start in range(0, rows, chunk_rows):
            part = slice(start, min(start + chunk_rows, rows))
            packed_dz = self._panels(dz[part])
            g.rows = packed_dz.shape[1]
            g.dz, g.stride = pointer(packed_dz), g.rows * self.panel
            g.add, g.finish = start > 0, part.stop == rows
            if norm:
                packed_dout, packed_zhat = self._panels(dout[part]), self._panels(zhat[part])
                if not known:
                    vectors[1].x, vectors[1].y = pointer(packed_dout), pointer(packed_zhat)
                    vectors[2].x = pointer(packed_dout)
            if not known:
                vectors[0].x = g.dz
            for i in range(n_vectors):
                vectors[i].rows, vectors[i].stride = g.rows, g.stride
                vectors[i].add, vectors[i].finish = g.add, g.finish
            if X is None:
                packed_x = self._panels(x[part])
                g.a = pointer(packed_x)
            else:
                csr, index = csr_of(X), np.arange(part.start, part.stop)
                starts = np.zeros(w.shape[0] + 1, np.intp)
                entries = np.zeros(X.nnz + 1, np.int32), np.zeros(X.nnz + 1, self.dtype)
                csc.start, csc.row = <ptrdiff_t *> pointer(starts), <int32_t *> pointer(entries[0])
                csc.value = pointer(entries[1])
                self.kernels.transpose_csr(&csr, &index[0], g.rows, w.shape[0],
                                           &dropout if rate_in > 0 else NULL, base, start, &csc)
            for p in range(panels):
                for k in range(blocks):
                    at = <double *> pointer(squares[k, p * self.panel:])
                    if X is None:
                        self.kernels.gradient_block(&g, p, k * BLOCK, at)
                    else:
                        self.kernels.gradient_block_sparse(&g, &csc, p, k * BLOCK, at)
            for p in range(packed[1][0].shape[0]):
                for i in range(n_vectors):
                    self.kernels.gradient_vector(&vectors[i], p,
                                                 <double *> pointer(squares[blocks + i, p * self.panel:]))
        answer = {}
        if factor is not None:
            answer["gradient_squares"] = squares.sum()
            squares[...] = 0
            u = update_of(kind, settings)
            u.scale, u.decay, u.clip = factor, 0, 0
            spared = of_vectors(u)
            for p in range(panels):
                for k in range(blocks):
                    self.kernels.apply_block(&g, p, k * BLOCK,
                                             <double *> pointer(squares[k, p * self.panel:]))
            for p in range(packed[1][0].shape[0]):
                for i in range(n_vectors):
                    self.kernels.apply_vector(&vectors[i], p,
                                              <double *> pointer(squares[blocks + i, p * self.panel:]))
        if u.kind == UPDATE_NONE:
            return {"d" + name: (flat if i else unpack)(packed[i][1]) for i, name in enumerate(names)}
        return answer | {name: (flat if i else unpack)(packed[i][0]) for i, name in enumerate(names)} | {
            "w_transposed": None if g.wt == NULL else self._columns(wt, w.shape[0]),
            "moments": [[(flat if i else unpack)(arrays[2 + m]) for i,
                         arrays in enumerate(packed)] for m in range(len(moments or ()))],
            "squares": squares[:blocks].sum(),
        }

    def transposed(self, w):
        """w.T, by the kernel that keeps the transposed copy."""
        cdef Weights g
        cdef ptrdiff_t p, k
        memset(&g, 0, sizeof(Weights))
        packed = self._panels(w)
        wt = np.zeros((-(-w.shape[0] // self.panel), w.shape[1], self.panel), self.dtype)
        g.n_in, g.n_out, g.w, g.wt = w.shape[0], w.shape[1], pointer(packed), pointer(wt)
        for p in range(packed.shape[0]):
            for k in range(0, w.shape[0], BLOCK):
                self.kernels.transpose_block(&g, p, k, min(<ptrdiff_t> BLOCK, w.shape[0] - k))
        return self._columns(wt, w.shape[0])

    def squares(self, w, **settings):
        """The column sums of the squares of at most BLOCK rows of weights."""
        cdef Update u = update_of("none", settings)
        packed = self._panels(w)
        out = np.zeros((packed.shape[0], self.panel))
        for p in range(packed.shape[0]):
            self.kernels.square_sums(&u, pointer(packed[p]), w.shape[0],
                                     2 if w.shape[1] - p * self.panel > self.panel // 2 else 1,
                                     <double *> pointer(out[p]))
        return out.ravel()[:w.shape[1]]

    def limited(self, w, double max_norm):
        """Weights with every column scaled to at most max_norm."""
        cdef Weights g
        memset(&g, 0, sizeof(Weights))
        packed = self._panels(w)
        g.n_in, g.n_out, g.w = w.shape[0], w.shape[1], pointer(packed)
        for p in range(packed.shape[0]):
            self.kernels.limit_columns(&g, p, max_norm)
        return self._columns(packed, w.shape[1])


cdef Vector _vector(list packed, bint sums) except *:
    """Of packed parameters, sums and moments."""
    cdef Vector vector
    memset(&vector, 0, sizeof(Vector))
    vector.w = pointer(packed[0])
    if sums:
        vector.g = pointer(packed[1])
    if len(packed) > 2:
        vector.m = pointer(packed[2])
    if len(packed) > 3:
        vector.v = pointer(packed[3])
    return vector


def _derivative(name):
    return ACTIVATION_STORED if name == "stored" else ACTIVATIONS[name]


cdef Csr csr_of(X) except *:
    return Csr(pointer(X.data), pointer(X.indices), pointer(X.indptr), X.data.itemsize, X.indices.itemsize)
