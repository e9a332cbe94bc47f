# Every kernel of a bfloat16 unit on ordinary row-major arrays: see standalone.pxi, whose packing it borrows.

# The entries of Bf16Kernels, and the method of Bf16Table that calls each.
STANDALONE_BF16 = {
    "start_products": "dense_forward", "finish_products": "dense_forward",
    "round_panel": "rounded", "round_weights": "rounded_weights",
    "forward": "dense_forward", "backward": "dense_backward", "gradient_block": "dense_gradient",
}
_NOT_WRITTEN = 0x7fc1  # a NaN that no kernel makes


cdef class Bf16Table:
    """The kernels of one unit for bfloat16 products.

    Every array that goes in is of float32, and so is every result: bfloat16 numbers come as the floats that
    they are.

    Parameters
    ----------
    unit : str
        One of bfloat16_units().
    """
    cdef const Bf16Kernels *kernels
    cdef object table

    def __init__(self, unit):
        self.kernels = nnfast_bf16_kernels(_UNITS[unit])
        if self.kernels == NULL:
            raise ValueError(f"bfloat16 unit {unit!r} is not available")
        self.table = KernelTable("avx512", np.float32)

    # A form has the shape (panels, rows up to whole blocks, BLOCK), whatever the order inside: see
    # bfloat16.h.

    def _blank(self, ptrdiff_t n, ptrdiff_t rows):
        return np.full(((n + BLOCK - 1) // BLOCK, bf16_rows(rows), BLOCK), _NOT_WRITTEN, np.uint16)

    def _forms(self, x):
        """x in rows, in columns and in pairs."""
        forms = [self._blank(x.shape[1], x.shape[0]) for _ in range(3)]
        panels = self.table._panels(x)
        for p in range(panels.shape[0]):
            self.kernels.round_panel(pointer(panels[p]), x.shape[0], pointer(forms[0][p]), NULL, NULL)
            self.kernels.round_panel(pointer(panels[p]), x.shape[0], NULL, pointer(forms[1][p]),
                                     pointer(forms[2][p]))
        return forms

    def _weights(self, w, bint passes_back=True):
        """w as right operand of the forward and of the backward product."""
        cdef Weights g
        cdef ptrdiff_t p, k
        memset(&g, 0, sizeof(Weights))
        packed, forward, backward = self.table._panels(w), self._blank(w.shape[1],
                                                                       w.shape[0]), self._blank(w.shape[0],
                                                                                                w.shape[1])
        g.n_in, g.n_out = w.shape[0], w.shape[1]
        g.w, g.bf16_w, g.bf16_wt = pointer(packed), pointer(forward), pointer(backward)
        if not passes_back:
            g.bf16_wt = NULL
        for p in range(packed.shape[0]):
            for k in range(0, w.shape[0], BLOCK):
                self.kernels.round_weights(&g, p, k)
        return forward, backward

    def rounded(self, x):
        """x in bfloat16, from each of the three forms, with zeros beyond its rows and columns up to whole
        blocks.
        """
        rows, columns, pairs = self._forms(x)
        in_blocks = columns.reshape(columns.shape[0], -1, BLOCK, BLOCK).transpose(0, 1, 3,
                                                                                  2).reshape(columns.shape)
        return [_floats(rows), _floats(in_blocks), _floats_of_pairs(pairs)]

    def rounded_weights(self, w):
        """w and w.T in bfloat16 likewise, from the forms for the forward and the backward product; and w
        where it has no other.
        """
        alone, _ = self._weights(w, passes_back=False)
        return [_floats_of_pairs(form) for form in (*self._weights(w), alone)]

    def dense_forward(self, x, w, b, str activation, double parameter=0):
        """activation(x @ w + b), the activation one of those that the product's epilogue does."""
        cdef ptrdiff_t rows = x.shape[0], n_out = w.shape[1], p
        packed_x, packed_w, packed_b = self._forms(x)[0], self._weights(w)[0], self.table._row(b)
        out = np.zeros(packed_w.shape[:1] + packed_x.shape[1:], np.float32)
        self.kernels.start_products()
        for p in range(out.shape[0]):
            self.kernels.forward(pointer(packed_x), packed_x.shape[1] * BLOCK, rows, pointer(packed_w[p]),
                                 w.shape[0], pointer(packed_b[p]),
                                 pointer(out[p]), 2 if n_out - p * BLOCK > BLOCK // 2 else 1,
                                 ACTIVATIONS[activation], parameter)
        self.kernels.finish_products()
        return self.table._columns(out[:, :rows], n_out)

    def dense_backward(self, dz, w, a_below, str activation, double parameter=0):
        """(dz @ w.T) * activation'(below), the derivative written by the activation's value a_below; or for
        "stored", being a_below.
        """
        cdef ptrdiff_t rows = dz.shape[0], n_in = w.shape[0], p
        packed_dz, packed_w, below = self._forms(dz)[0], self._weights(w)[1], self.table._panels(a_below)
        self.kernels.start_products()
        for p in range(below.shape[0]):  # which the result takes the place of, as it may
            self.kernels.backward(pointer(packed_dz), packed_dz.shape[1] * BLOCK, rows, pointer(packed_w[p]),
                                  w.shape[1], pointer(below[p]),
                                  pointer(below[p]), 2 if n_in - p * BLOCK > BLOCK // 2 else 1,
                                  _derivative(activation), parameter)
        self.kernels.finish_products()
        return self.table._columns(below, n_in)

    def dense_gradient(self, x, dz, w, str kind="none", *, ptrdiff_t chunk_rows=1 << 30, moments=(),
                       **settings):
        """x.T @ dz, whose rows pass in chunks of chunk_rows; or with a kind, its update, as a dict: w, the
        moments, the sum of squares that the update reports, and `rounded`, the bfloat16 copies of w and of
        w.T.
        """
        cdef Update u = update_of(kind, settings)
        cdef Weights g
        cdef ptrdiff_t rows = x.shape[0], n_in = w.shape[0], n_out = w.shape[1], p, k, start
        memset(&g, 0, sizeof(Weights))
        packed, sums = self.table._panels(w), self.table._panels(np.full_like(w, 7))
        packed_moments = [self.table._panels(moment) for moment in moments]
        copies = self._blank(n_out, n_in), self._blank(n_in, n_out)
        squares = np.zeros(((n_in + BLOCK - 1) // BLOCK, packed.shape[0] * BLOCK))
        g.n_in, g.n_out, g.update = n_in, n_out, &u
        g.w, g.g, g.bf16_w, g.bf16_wt = pointer(packed), pointer(sums), pointer(copies[0]), pointer(copies[1])
        g.m = pointer(packed_moments[0]) if len(moments) > 0 else NULL
        g.v = pointer(packed_moments[1]) if len(moments) > 1 else NULL
        for start in range(0, rows, chunk_rows):
            part = slice(start, min(start + chunk_rows, rows))
            bf16_x, bf16_dz = self._forms(x[part])[1], self._forms(dz[part])[2]
            g.rows, g.stride = part.stop - start, bf16_x.shape[1] * BLOCK
            g.add, g.finish = start > 0, part.stop == rows
            g.bf16_a, g.bf16_dz = pointer(bf16_x), pointer(bf16_dz)
            self.kernels.start_products()
            for p in range(packed.shape[0]):
                for k in range(squares.shape[0]):
                    self.kernels.gradient_block(&g, p, k * BLOCK, <double *> pointer(squares[k, p * BLOCK:]))
            self.kernels.finish_products()
        if u.kind == UPDATE_NONE:
            return self.table._columns(sums, n_out)
        return {"w": self.table._columns(packed, n_out),
                "moments": [self.table._columns(moment, n_out) for moment in packed_moments],
                "squares": squares.sum(), "rounded": [_floats_of_pairs(copy) for copy in copies]}


def _floats(form):
    """Panels [p][row][BLOCK] of bfloat16 side by side, as float32."""
    numbers = form.transpose(1, 0, 2).reshape(form.shape[1], -1)
    return (numbers.astype(np.uint32) << 16).view(np.float32)


def _floats_of_pairs(form):
    return _floats(form.reshape(form.shape[0], -1, BLOCK, 2).transpose(0, 1, 3, 2).reshape(form.shape))
