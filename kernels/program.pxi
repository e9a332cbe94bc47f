# What an engine runs, as nnfast/plan.py has planned it: numbers that never change. A program may be run by
# any number of states at once.
#
# The structs are rows of int64 arrays, whose columns stand beside them; see nnfast/engines/programs.py.

cdef struct Operation:
    ptrdiff_t kind, timed, layer, n_in, n_out
    ptrdiff_t x, y, z              # buffers, or -1
    ptrdiff_t weights              # parameter, whose bias is the next one; or -1
    ptrdiff_t unit, derivative, tail

OPERATION_COLUMNS = ("kind", "timed", "layer", "n_in", "n_out", "x", "y", "z", "weights", "unit",
                     "derivative", "tail")

cdef struct Segment:
    ptrdiff_t first, end, panels

SEGMENT_COLUMNS = ("first", "end", "panels")

cdef struct Buffer:
    ptrdiff_t kind, n

BUFFER_COLUMNS = ("kind", "n")

cdef struct PlannedParam:
    ptrdiff_t kind, layer, n_in, n_out, is_learned, x, y, rule, transposed, bf16_x, bf16_y

PARAM_COLUMNS = ("kind", "layer", "n_in", "n_out", "is_learned", "x", "y", "rule", "transposed", "bf16_x",
                 "bf16_y")

cdef struct NormPlaces:            # parameters and buffers
    ptrdiff_t unit, scale, shift, mean, variance, inverse, sum_scale, sum_shift

NORM_COLUMNS = ("unit", "scale", "shift", "mean", "variance", "inverse", "sum_scale", "sum_shift")

cdef struct Job:
    ptrdiff_t param, panel
    # blocks of inputs; VECTORS: the panel of this vector, and of those after it
    ptrdiff_t block, end
    ptrdiff_t cost

cdef struct Activation:
    int kind
    double parameter
    own_activation_fn *own         # ACTIVATION_OWN

cdef enum:
    VECTORS = -1


cdef class Program:
    """A plan, for the kernels of one instruction set and dtype.

    table: of int64 arrays, `operations`, `training` and `prediction` (segments), `buffers`, `params`,
    `norms` and `jobs`, with the columns above, and `learned` and `statistics`, numbers of parameters in the
    order in which arrays come; activations: (number, parameter, address of an own one or 0) of every hidden
    layer; loss: its number; own_loss: of LOSS_OWN, its address, whether a row's is the mean over outputs, and
    the loss that has its output activation; unit: what does bfloat16 products while training, or None.
    """
    cdef const Kernels *kernels
    cdef const Bf16Kernels *bf16   # NULL: all products are the kernels'
    cdef const Operation *operations
    cdef const Segment *training
    cdef const Segment *prediction
    cdef const Buffer *buffers
    cdef const PlannedParam *params
    cdef const NormPlaces *norms
    cdef const Job *jobs
    cdef const ptrdiff_t *learned
    cdef const ptrdiff_t *statistics
    cdef Activation *activations
    cdef Loss loss
    cdef int n_training, n_prediction, n_buffers, n_params, n_norms, n_layers
    cdef ptrdiff_t n_jobs, n_features, n_outputs, row_tile
    cdef object arrays, loss_parameters

    def __cinit__(self, isa, bint double_precision, dict table, activations, int loss, loss_parameters, *,
                  unit=None, own_loss=None):
        cdef int i
        self.kernels = kernels_of(isa, double_precision)
        self.row_tile = self.kernels.tile
        if unit is not None:
            self.bf16 = nnfast_bf16_kernels(_UNITS[unit])
            if self.bf16 == NULL or self.kernels.panel != BLOCK:
                raise ValueError(
                    f"the bfloat16 unit {unit!r} is not available to this process: either the machine does "
                    "not have it, or, of 'amx', the operating system refuses it, as Linux does where a "
                    "signal stack is too small for its registers. precision='float32' runs everywhere; the "
                    "environment variable NNFAST_BFLOAT16 names another unit.")
            self.row_tile = self.bf16.tile
        self.arrays = dict(table)
        self.operations = <const Operation *> self.column_of("operations")
        self.training = <const Segment *> self.column_of("training")
        self.prediction = <const Segment *> self.column_of("prediction")
        self.buffers = <const Buffer *> self.column_of("buffers")
        self.params = <const PlannedParam *> self.column_of("params")
        self.norms = <const NormPlaces *> self.column_of("norms")
        self.jobs = <const Job *> self.column_of("jobs")
        self.learned = <const ptrdiff_t *> self.column_of("learned")
        self.statistics = <const ptrdiff_t *> self.column_of("statistics")
        self.n_training, self.n_prediction = len(table["training"]), len(table["prediction"])
        self.n_buffers, self.n_params = len(table["buffers"]), len(table["params"])
        self.n_jobs = len(table["jobs"])
        self.n_norms, self.n_layers = len(table["norms"]), len(activations) + 1
        self.n_features = self.params[0].n_in
        self.n_outputs = self.params[self.n_params - 1].n_out
        self.activations = <Activation *> calloc(self.n_layers, sizeof(Activation))
        if self.activations == NULL:
            raise MemoryError
        for i, (kind, parameter, address) in enumerate(activations):
            self.activations[i] = Activation(kind, parameter, <own_activation_fn *> <uintptr_t> address)
        self.loss.kind = self.loss.output = loss
        self.loss.gradient_scale = 1
        if own_loss is not None:
            address, self.loss.own_is_mean, self.loss.output = own_loss
            self.loss.own = <own_loss_fn *> <uintptr_t> address
        if len(loss_parameters):
            self.loss_parameters = np.array(loss_parameters, np.float64)
            self.loss.parameters = <const double *> pointer(self.loss_parameters)

    cdef const void *column_of(self, str name):
        cdef cnp.ndarray array = np.ascontiguousarray(self.arrays[name], np.intp)
        self.arrays[name] = array
        return pointer(array)

    def __dealloc__(self):
        free(self.activations)


cdef const Kernels *kernels_of(isa, bint double_precision) except NULL:
    cdef const Kernels *kernels = nnfast_kernels(_ISAS[isa], double_precision)
    if kernels == NULL:
        raise ValueError(f"instruction set {isa!r} is not available")
    return kernels
