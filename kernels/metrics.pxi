# What metrics sum over the rows of a validation set, after every epoch: in double precision whatever the
# outputs' dtype, and without the GIL.

ctypedef fused Real:
    float
    double

cdef extern from "<math.h>" nogil:
    double log(double)


cdef inline const double *weights_or_null(const double[::1] weight) noexcept:
    return &weight[0] if weight is not None and weight.shape[0] else NULL


# Sums of at most 256 rows are added up by themselves, so that rounding does not grow with the rows.
cdef struct Sums:
    double of_hits, of_all, hits, all


cdef inline void add(Sums *sums, ptrdiff_t row, double hit, double weight) noexcept nogil:
    sums.of_hits += hit * weight
    sums.of_all += weight
    if row % 256 == 255:
        close_part(sums)


cdef inline void close_part(Sums *sums) noexcept nogil:
    sums.hits += sums.of_hits
    sums.all += sums.of_all
    sums.of_hits = sums.of_all = 0


def accuracy(const Real[:, ::1] outputs, const ptrdiff_t[::1] y, const double[::1] weight):
    """The sums of the weights of the rows whose first largest output is number y, and of all."""
    cdef const double *w = weights_or_null(weight)
    cdef Sums sums = Sums(0, 0, 0, 0)
    cdef ptrdiff_t i, k, best
    with nogil:
        for i in range(outputs.shape[0]):
            best = 0
            for k in range(1, outputs.shape[1]):
                if outputs[i, k] > outputs[i, best]:
                    best = k
            add(&sums, i, best == y[i], w[i] if w else 1)
        close_part(&sums)
    return sums.hits, sums.all


def subset_accuracy(const Real[:, ::1] outputs, const cnp.uint8_t[:, ::1] labels, const double[::1] weight):
    """The sums of the weights of the rows all of whose outputs are above 0.5 where the labels are 1, and not
    where they are 0, and of all.
    """
    cdef const double *w = weights_or_null(weight)
    cdef Sums sums = Sums(0, 0, 0, 0)
    cdef ptrdiff_t i, k
    cdef bint hit
    with nogil:
        for i in range(outputs.shape[0]):
            hit = True
            for k in range(outputs.shape[1]):
                hit &= (outputs[i, k] > <Real> 0.5) == (labels[i, k] != 0)
            add(&sums, i, hit, w[i] if w else 1)
        close_part(&sums)
    return sums.hits, sums.all


def log_loss(const Real[:, ::1] outputs, const ptrdiff_t[::1] y, const double[::1] weight, double epsilon):
    """The sums of weight * -log(probability of y), and of the weights. Probabilities are kept within epsilon
    .. 1 - epsilon; a single column is that of y = 1.
    """
    cdef const double *w = weights_or_null(weight)
    cdef Sums sums = Sums(0, 0, 0, 0)
    cdef ptrdiff_t i
    cdef bint is_binary = outputs.shape[1] == 1
    cdef Real p, least = <Real> epsilon, most = <Real> 1 - least
    with nogil:
        for i in range(outputs.shape[0]):
            if not is_binary:
                p = outputs[i, y[i]]
            elif y[i]:
                p = outputs[i, 0]
            else:
                p = <Real> 1 - outputs[i, 0]
            if p < least:
                p = least
            elif p > most:
                p = most
            add(&sums, i, -log(<double> p), w[i] if w else 1)
        close_part(&sums)
    return sums.hits, sums.all


cdef double area_under_roc(const Real *positives, ptrdiff_t n_positives, const Real *all,
                           ptrdiff_t n) noexcept nogil:
    """The area under the ROC curve from the ascending outputs of the positive rows, and of all: the chance
    that one of the positives has a larger output than one of the others; half of it where they are equal.
    """
    cdef ptrdiff_t i, below = 0, not_above = 0
    cdef double area = 0
    for i in range(n_positives):
        while below < n and all[below] < positives[i]:
            below += 1
        if not_above < below:
            not_above = below
        while not_above < n and all[not_above] <= positives[i]:
            not_above += 1
        area += below + not_above
    # Among themselves, half of the positives are below each.
    return (area - <double> n_positives * n_positives) / (2.0 * n_positives * (n - n_positives))


def areas_under_roc(const Real[::1] positives, const ptrdiff_t[::1] start, const Real[:, ::1] all,
                    double[::1] areas):
    """Writes the areas of several columns, a row of `all` each; those of the positive rows of column k are
    positives[start[k] : start[k + 1]]. NaN where all rows are of one kind.
    """
    cdef ptrdiff_t k, n_positives
    with nogil:
        for k in range(all.shape[0]):
            n_positives = start[k + 1] - start[k]
            areas[k] = area_under_roc(&positives[0] + start[k], n_positives, &all[k, 0], all.shape[1])


def split_columns(const Real[:, ::1] outputs, const ptrdiff_t[::1] y, Real[::1] own, ptrdiff_t[::1] next,
                  Real[:, ::1] columns):
    """Writes each row's output of class y to own[next[y]], which moves on, and the outputs by columns."""
    cdef ptrdiff_t i, k
    with nogil:
        for i in range(outputs.shape[0]):
            own[next[y[i]]] = outputs[i, y[i]]
            next[y[i]] += 1
            for k in range(outputs.shape[1]):
                columns[k, i] = outputs[i, k]


def weighted_roc_auc(const Real[:, ::1] outputs, ptrdiff_t column, const ptrdiff_t[::1] order,
                     const ptrdiff_t[::1] y, ptrdiff_t positive,
                     const double[::1] weight):
    """The area of one column, where rows have weights, from `order`, the rows by its ascending outputs. NaN
    if the weights of one kind are zero.
    """
    cdef double area = 0, positives = 0, others = 0, equal_positives, equal_others
    cdef ptrdiff_t at = 0, i, n = order.shape[0]
    cdef Real value
    with nogil:
        while at < n:
            value = outputs[order[at], column]
            equal_positives = equal_others = 0
            while True:
                i = order[at]
                if y[i] == positive:
                    equal_positives += weight[i]
                else:
                    equal_others += weight[i]
                at += 1
                if at == n or not outputs[order[at], column] == value:
                    break
            area += equal_positives * (others + equal_others / 2)
            positives += equal_positives
            others += equal_others
    return area / (positives * others) if positives > 0 and others > 0 else float("nan")


def squared_errors(const Real[:, ::1] outputs, const double[:, ::1] y, const double[::1] weight,
                   double[::1] errors):
    """Writes the sum over the rows of weight * (y - output)^2 of each output, and returns the sum of the
    weights.
    """
    cdef const double *w = weights_or_null(weight)
    cdef Sums sums
    cdef ptrdiff_t i, k
    cdef double error
    with nogil:
        for k in range(outputs.shape[1]):
            sums = Sums(0, 0, 0, 0)
            for i in range(outputs.shape[0]):
                error = y[i, k] - outputs[i, k]
                add(&sums, i, error * error, w[i] if w else 1)
            close_part(&sums)
            errors[k] = sums.hits
    return sums.all
