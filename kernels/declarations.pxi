# What the C headers declare, for Cython.

cdef extern from "src/kernels.h" nogil:
    enum: SOURCE_FLOAT32, SOURCE_FLOAT64, SOURCE_INT8, SOURCE_INT16, SOURCE_INT32, SOURCE_INT64
    enum: SOURCE_UINT8, SOURCE_UINT16, SOURCE_UINT32, SOURCE_UINT64
    enum: FUNCTION_EXP, FUNCTION_LOG, FUNCTION_LOG1P_UNIT, FUNCTION_SQRT, FUNCTION_RECIPROCAL
    enum: DEPTH, NARROW, BLOCK
    ctypedef struct Update:
        int kind, measures
        double scale, decay, clip, threshold, square_factor, absolute_factor
        double *scalars
    ctypedef struct Vector:
        ptrdiff_t n
        void *w
        void *m
        void *v
        void *g
        const void *x
        const void *y
        const void *sum
        ptrdiff_t stride, rows
        int add, finish
        const Update *update
    ctypedef struct Weights:
        const void *a
        const void *dz
        ptrdiff_t stride, rows, n_in, n_out
        void *w
        void *wt
        void *m
        void *v
        void *g
        int add, finish, narrow
        const Update *update
        const void *bf16_a
        const void *bf16_dz
        void *bf16_w
        void *bf16_wt
    ctypedef struct Norm:
        double epsilon, momentum
        void *scale
        void *shift
        void *mean
        void *variance
        void *inverse
        void *sum_scale
        void *sum_shift
    ctypedef struct Dropout:
        uint32_t threshold
        double scale, shift, dropped
    ctypedef void own_activation_fn(void *, void *, ptrdiff_t, double) noexcept nogil
    ctypedef void own_loss_fn(const void *, void *, void *, const void *, ptrdiff_t) noexcept nogil
    ctypedef struct Loss:
        int kind
        double gradient_scale
        const double *parameters
        int output
        bint own_is_mean
        own_loss_fn *own
    ctypedef struct Csr:
        const void *data
        const void *indices
        const void *indptr
        int data_bytes, index_bytes
    ctypedef struct Csc:
        ptrdiff_t *start
        int32_t *row
        void *value
    ctypedef void gather_fn(const char *, ptrdiff_t, ptrdiff_t, const ptrdiff_t *, ptrdiff_t, ptrdiff_t,
                            void *, ptrdiff_t) noexcept nogil
    ctypedef struct Kernels:
        const char *isa
        int real_bytes, panel, tile
        gather_fn **gather
        void (*densify)(const Csr *, const ptrdiff_t *, ptrdiff_t, ptrdiff_t, void *,
                        ptrdiff_t) noexcept nogil
        void (*transpose_csr)(const Csr *, const ptrdiff_t *, ptrdiff_t, ptrdiff_t, const Dropout *, uint64_t,
                              ptrdiff_t, Csc *) noexcept nogil
        void (*forward)(const void *, ptrdiff_t, ptrdiff_t, const void *, ptrdiff_t, const void *, void *,
                        int, int, double) noexcept nogil
        void (*forward_narrow)(const void *, ptrdiff_t, ptrdiff_t, const void *, ptrdiff_t, ptrdiff_t,
                               const void *, void *) noexcept nogil
        void (*forward_row)(const void *, const void *, ptrdiff_t, ptrdiff_t, ptrdiff_t,
                            void *) noexcept nogil
        void (*forward_sparse)(const Csr *, const ptrdiff_t *, ptrdiff_t, const void *, ptrdiff_t, ptrdiff_t,
                               const void *, void *,
                               ptrdiff_t, const Dropout *, uint64_t, ptrdiff_t) noexcept nogil
        void (*backward)(const void *, ptrdiff_t, ptrdiff_t, const void *, ptrdiff_t, const void *, void *,
                         int, int, double) noexcept nogil
        void (*clear_pads)(void *, ptrdiff_t, ptrdiff_t) noexcept nogil
        void (*activate)(int, double, const void *, void *, void *, ptrdiff_t) noexcept nogil
        void (*derive)(int, double, const void *, const void *, void *, ptrdiff_t) noexcept nogil
        void (*drop)(const Dropout *, uint64_t, ptrdiff_t, ptrdiff_t, ptrdiff_t, int, void *,
                     void *) noexcept nogil
        void (*normalize_columns)(const void *, void *, void *, ptrdiff_t, int, const Norm *, ptrdiff_t,
                                  int) noexcept nogil
        void (*normalize_by_running)(void *, ptrdiff_t, int, const Norm *, ptrdiff_t) noexcept nogil
        void (*normalize_columns_back)(void *, const void *, ptrdiff_t, int, const Norm *,
                                       ptrdiff_t) noexcept nogil
        void (*normalize_rows)(void *, void *, ptrdiff_t, ptrdiff_t, ptrdiff_t, const Norm *,
                               ptrdiff_t) noexcept nogil
        void (*normalize_rows_back)(const void *, const void *, void *, ptrdiff_t, ptrdiff_t, ptrdiff_t,
                                    const Norm *, ptrdiff_t) noexcept nogil
        void (*loss_and_gradient)(const Loss *, void *, ptrdiff_t, ptrdiff_t, ptrdiff_t, const void *,
                                  const ptrdiff_t *, const ptrdiff_t *, const double *, int, void *,
                                  double *) noexcept nogil
        void (*output)(int, void *, ptrdiff_t, ptrdiff_t, ptrdiff_t, void *, void *) noexcept nogil
        void (*gradient_block)(const Weights *, ptrdiff_t, ptrdiff_t, double *) noexcept nogil
        void (*gradient_block_sparse)(const Weights *, const Csc *, ptrdiff_t, ptrdiff_t,
                                      double *) noexcept nogil
        void (*gradient_vector)(const Vector *, ptrdiff_t, double *) noexcept nogil
        void (*apply_block)(const Weights *, ptrdiff_t, ptrdiff_t, double *) noexcept nogil
        void (*apply_vector)(const Vector *, ptrdiff_t, double *) noexcept nogil
        void (*limit_columns)(const Weights *, ptrdiff_t, double) noexcept nogil
        void (*transpose_block)(const Weights *, ptrdiff_t, ptrdiff_t, ptrdiff_t) noexcept nogil
        void (*update)(const Update *, void *, const void *, void *, void *, ptrdiff_t) noexcept nogil
        void (*square_sums)(const Update *, const void *, ptrdiff_t, int, double *) noexcept nogil
        bint (*are_finite)(const void *, ptrdiff_t, double) noexcept nogil
        void (*pack)(const void *, int, ptrdiff_t, ptrdiff_t, ptrdiff_t, void *) noexcept nogil
        void (*unpack)(const void *, ptrdiff_t, ptrdiff_t, void *, int) noexcept nogil
        void (*pack_transposed)(const void *, int, ptrdiff_t, ptrdiff_t, void *) noexcept nogil
        void (*unpack_transposed)(const void *, ptrdiff_t, ptrdiff_t, void *, int) noexcept nogil
        void (*map)(int, const void *, void *, ptrdiff_t) noexcept nogil
        double (*multiply_add)(ptrdiff_t, double *) noexcept nogil
    ctypedef struct Bf16Kernels:
        const char *unit
        int tile
        void (*start_products)() noexcept nogil
        void (*finish_products)() noexcept nogil
        void (*round_panel)(const void *, ptrdiff_t, void *, void *, void *) noexcept nogil
        void (*round_weights)(const Weights *, ptrdiff_t, ptrdiff_t) noexcept nogil
        void (*forward)(const void *, ptrdiff_t, ptrdiff_t, const void *, ptrdiff_t, const void *, void *,
                        int, int, double) noexcept nogil
        void (*backward)(const void *, ptrdiff_t, ptrdiff_t, const void *, ptrdiff_t, const void *, void *,
                         int, int, double) noexcept nogil
        void (*gradient_block)(const Weights *, ptrdiff_t, ptrdiff_t, double *) noexcept nogil

cdef extern from "src/dispatch.h" nogil:
    enum: N_ISAS
    const char *nnfast_isa_name(int)
    int nnfast_isa_runs(int)
    const Kernels *nnfast_kernels(int, int)
    enum: N_UNITS
    const char *nnfast_unit_name(int)
    int nnfast_unit_runs(int)
    const Bf16Kernels *nnfast_bf16_kernels(int)

cdef extern from "src/atomics.h" nogil:
    uint64_t atomic_get(const uint64_t *)
    void atomic_set(uint64_t *, uint64_t)
    uint64_t atomic_add(uint64_t *, uint64_t)
    int atomic_swap_if(uint64_t *, uint64_t, uint64_t)
    void pause_briefly()
    bint __builtin_mul_overflow(size_t, size_t, size_t *)
    bint __builtin_add_overflow(size_t, size_t, size_t *)

cdef extern from "<pthread.h>" nogil:
    ctypedef struct pthread_t:
        pass
    ctypedef struct pthread_mutex_t:
        pass
    ctypedef struct pthread_cond_t:
        pass
    int pthread_create(pthread_t *, void *, void *(*)(void *) noexcept nogil, void *)
    int pthread_join(pthread_t, void **)
    int pthread_mutex_init(pthread_mutex_t *, void *)
    int pthread_mutex_destroy(pthread_mutex_t *)
    int pthread_mutex_lock(pthread_mutex_t *)
    int pthread_mutex_unlock(pthread_mutex_t *)
    int pthread_cond_init(pthread_cond_t *, void *)
    int pthread_cond_destroy(pthread_cond_t *)
    int pthread_cond_wait(pthread_cond_t *, pthread_mutex_t *)
    int pthread_cond_broadcast(pthread_cond_t *)

cdef extern from "<sched.h>" nogil:
    int sched_yield()

cdef extern from "src/mix.h" nogil:
    uint64_t mix_bits(uint64_t)

cdef extern from "src/clock.h" nogil:
    int64_t milliseconds()
    int64_t nanoseconds()

cdef extern from "src/subnormals.h" nogil:
    uint64_t flush_subnormals()
    void restore_subnormals(uint64_t)
