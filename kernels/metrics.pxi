# What metrics sum over the rows of a validation set, after every epoch: in double precision whatever the outputs' dtype, and without the GIL.

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
    """The sums of the weights of the rows all of whose outputs are above 0.5 where the labels are 1, and not where they are 0, and of all."""
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
    """The sums of weight * -log(probability of y), and of the weights. Probabilities are kept within epsilon .. 1 - epsilon; a single column is that of
    y = 1."""
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


def roc_auc(const Real[:, ::1] outputs, ptrdiff_t column, const ptrdiff_t[::1] order, const ptrdiff_t[::1] y, ptrdiff_t positive,
            const double[::1] weight):
    """The area under the ROC curve of one column, from `order`, the rows by its ascending outputs: the chance that a row with y = positive has a larger
    output than another; half of it where they are equal. NaN if the weights of one kind are zero."""
    cdef const double *w = weights_or_null(weight)
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
                    equal_positives += w[i] if w else 1
                else:
                    equal_others += w[i] if w else 1
                at += 1
                if at == n or not outputs[order[at], column] == value:
                    break
            area += equal_positives * (others + equal_others / 2)
            positives += equal_positives
            others += equal_others
    return area / (positives * others) if positives > 0 and others > 0 else float("nan")


def squared_errors(const Real[:, ::1] outputs, const double[:, ::1] y, const double[::1] weight, double[::1] errors):
    """Writes the sum over the rows of weight * (y - output)^2 of each output, and returns the sum of the weights."""
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
