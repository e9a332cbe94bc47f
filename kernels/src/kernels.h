/* The one door between the orchestration (engine.pyx) and the vector code: a table of functions for each instruction
 * set and dtype.
 *
 * kernels.c fills one such table each time it is compiled. The orchestration is compiled once and is blind to both:
 * it moves through memory by `real_bytes` and `panel` (NR, the columns of a panel) and passes arrays as `void *` of
 * the table's dtype.
 *
 * Layouts (rows = the rows of a chunk of a batch; the last panel is padded, its pads hold zeros):
 *   activations, dz   [ceil(n / NR)][capacity][NR]     stride = capacity * NR elements from a panel to the next
 *   weights w         [ceil(n_out / NR)][n_in][NR]
 *   transposed wt     [ceil(n_in / NR)][n_out][NR]     what the backward pass reads
 *   a narrow layer (n_out <= NARROW) keeps only the transposed form: w = [ceil(n_in / NR)][n_out][NR]
 * Nothing here checks, allocates or starts a thread.
 */
#ifndef NNFAST_KERNELS_H
#define NNFAST_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "records.h"

enum {
    SOURCE_FLOAT32,
    SOURCE_FLOAT64,
    SOURCE_INT8,
    SOURCE_INT16,
    SOURCE_INT32,
    SOURCE_INT64,
    SOURCE_UINT8,
    SOURCE_UINT16,
    SOURCE_UINT32,
    SOURCE_UINT64,
    N_SOURCES
};
enum { FUNCTION_EXP, FUNCTION_LOG, FUNCTION_LOG1P_UNIT, FUNCTION_SQRT, FUNCTION_RECIPROCAL, N_FUNCTIONS };
/* k of one pass of a product: DEPTH x NR weights, 16 KB, stay in the L1 cache while all row tiles go over them */
enum { DEPTH = 128 };
enum { NARROW = 4 }; /* outputs up to which a layer is computed by dot products */
/* inputs of a gradient block, the same for every instruction set: the blocks' sums of squares are too */
enum { BLOCK = 32 };

/* One optimizer step. The gradient of a weight w is scale * sum + decay * w, its mean over the batch plus the L2
 * term's, within -clip .. clip where clip is positive. The weight is multiplied by `shrink` before the update and
 * moved towards zero by `threshold` after it. Each update reports the sum of square_factor * w^2 + absolute_factor *
 * |w| over the new weights. */
typedef struct {
    int kind;     /* UPDATE_NONE writes the gradient and leaves the weights */
    int measures; /* UPDATE_NONE reports the sum of the gradient's squares */
    double scale, decay, clip, threshold, square_factor, absolute_factor;
    double scalars[N_SCALARS]; /* SCALAR_*, of which each kind takes some, and all take SHRINK */
} Update;

/* A vector that is learned: a number a unit, its moments, and its gradient's sums over earlier chunks (g). The gradient
 * is the sum over rows of x, or of x * y, in panels; or `sum`, where it is known; or, without any of these, zero. */
typedef struct {
    ptrdiff_t n;
    void *w, *m, *v, *g;
    const void *x, *y, *sum;
    ptrdiff_t stride, rows; /* of x and y */
    int add, finish;        /* as in Weights */
    const Update *update;
} Vector;

/* A matrix of weights, and what its gradient over the rows of a chunk is made from: see gradient.h. */
typedef struct {
    const void *a, *dz; /* inputs and output gradients of the layer, in panels */
    ptrdiff_t stride;   /* of both */
    ptrdiff_t rows;     /* of the chunk */
    ptrdiff_t n_in, n_out;
    void *w, *wt, *m, *v, *g; /* g: the sums over earlier chunks, NULL where the batch is one chunk */
    int add, finish;          /* add g to this chunk's sum; update (else store the sum in g) */
    int narrow;
    const Update *update;
    /* with bfloat16 products: inputs in columns, output gradients in pairs (bfloat16.h), `stride` apart ... */
    const void *bf16_a, *bf16_dz;
    void *bf16_w, *bf16_wt; /* ... and the weights as right operands; NULL where the layer has none */
} Weights;

/* Normalization of one layer, vectors by unit, except `inverse` of layer normalization: by row of the chunk. */
typedef struct {
    double epsilon, momentum;
    void *scale, *shift, *mean, *variance; /* learned, and running */
    void *inverse;                         /* 1 / sqrt(variance + epsilon) of the last forward pass */
    void *sum_scale, *sum_shift;           /* their gradients' sums, by the backward pass of batch normalization */
} Norm;

/* Units are kept if their 32 random bits are not below `threshold`: kept ones become a * scale + shift, the others
 * `dropped`. */
typedef struct {
    uint32_t threshold;
    double scale, shift, dropped;
} Dropout;

/* The user's own functions, compiled for this CPU by kernels/jit/elementwise.py, of numbers of the table's dtype.
 * The first: a holds z and becomes f(z), and slope, unless it is NULL, f'(z). The second: value becomes f(y, z) and
 * z its derivative by z; no parameters. */
typedef void own_activation_fn(void *a, void *slope, ptrdiff_t n, double parameter);
typedef void own_loss_fn(const void *y, void *z, void *value, const void *parameters, ptrdiff_t n);

/* A loss, its output activation, and its own parameters: one, or one for each output. gradient_scale multiplies the
 * gradients. LOSS_OWN is `own`, elementwise, of which the row's loss is the sum over outputs or the mean. `output`
 * is the loss that has its output activation. */
typedef struct {
    int kind;
    double gradient_scale;
    const double *parameters;
    int output, own_is_mean;
    own_loss_fn *own;
} Loss;

/* Rows of a sparse table, as scipy's CSR has them. `indices` are the user's, whose other threads may write to them
 * at any time: kernels leave out entries that are in no column. */
typedef struct {
    const void *data, *indices, *indptr;
    int data_bytes, index_bytes;
} Csr;

/* The same rows of one chunk by columns: entries of column k are start[k] .. start[k + 1]. */
typedef struct {
    ptrdiff_t *start;
    int32_t *row;
    void *value;
} Csc;

typedef void gather_fn(const char *x, ptrdiff_t row_bytes, ptrdiff_t column_bytes, const ptrdiff_t *index,
                       ptrdiff_t rows, ptrdiff_t n_features, void *out, ptrdiff_t stride);

typedef struct {
    const char *isa;
    int real_bytes, panel, tile;
    gather_fn *gather[N_SOURCES];
    void (*densify)(const Csr *x, const ptrdiff_t *index, ptrdiff_t rows, ptrdiff_t n_features, void *out,
                    ptrdiff_t stride);
    void (*transpose_csr)(const Csr *x, const ptrdiff_t *index, ptrdiff_t rows, ptrdiff_t n_features,
                          const Dropout *dropout, uint64_t base, ptrdiff_t row, Csc *out);
    void (*forward)(const void *a, ptrdiff_t stride, ptrdiff_t rows, const void *w, ptrdiff_t n_in, const void *b,
                    void *out, int vectors, int activation, double parameter);
    void (*forward_narrow)(const void *a, ptrdiff_t stride, ptrdiff_t rows, const void *w, ptrdiff_t n_in,
                           ptrdiff_t n_out, const void *b, void *out);
    void (*forward_row)(const void *a, const void *w, ptrdiff_t step, ptrdiff_t n_in, ptrdiff_t n_out, void *out);
    void (*forward_sparse)(const Csr *x, const ptrdiff_t *index, ptrdiff_t rows, const void *w, ptrdiff_t n_in,
                           ptrdiff_t n_out, const void *b, void *out, ptrdiff_t stride, const Dropout *dropout,
                           uint64_t base, ptrdiff_t row);
    void (*backward)(const void *dz, ptrdiff_t stride, ptrdiff_t rows, const void *wt, ptrdiff_t n_out,
                     const void *a_below, void *dz_below, int vectors, int activation, double parameter);
    void (*clear_pads)(void *a, ptrdiff_t rows, ptrdiff_t n);
    void (*activate)(int activation, double parameter, const void *z, void *a, void *derivative, ptrdiff_t n);
    void (*derive)(int activation, double parameter, const void *a, const void *da, void *dz, ptrdiff_t n);
    void (*drop)(const Dropout *dropout, uint64_t base, ptrdiff_t row, ptrdiff_t unit, ptrdiff_t rows, int vectors,
                 void *a, void *derivative);
    void (*normalize_columns)(const void *z, void *out, void *zhat, ptrdiff_t rows, int vectors, const Norm *norm,
                              ptrdiff_t panel, int learn);
    void (*normalize_by_running)(void *z, ptrdiff_t rows, int vectors, const Norm *norm, ptrdiff_t panel);
    void (*normalize_columns_back)(void *dz, const void *zhat, ptrdiff_t rows, int vectors, const Norm *norm,
                                   ptrdiff_t panel);
    void (*normalize_rows)(void *z, void *zhat, ptrdiff_t stride, ptrdiff_t rows, ptrdiff_t n, const Norm *norm,
                           ptrdiff_t first_row);
    void (*normalize_rows_back)(const void *dout, const void *zhat, void *dz, ptrdiff_t stride, ptrdiff_t rows,
                                ptrdiff_t n, const Norm *norm, ptrdiff_t first_row);
    void (*loss_and_gradient)(const Loss *loss, void *z, ptrdiff_t stride, ptrdiff_t rows, ptrdiff_t n_out,
                              const void *y, const ptrdiff_t *label, const ptrdiff_t *index, const double *weight,
                              int differentiates, void *scratch, double *row_loss);
    void (*output)(int loss, void *z, ptrdiff_t stride, ptrdiff_t rows, ptrdiff_t n_out, void *scratch, void *out);
    void (*gradient_block)(const Weights *weights, ptrdiff_t panel, ptrdiff_t k, double *squares);
    void (*gradient_block_sparse)(const Weights *weights, const Csc *x, ptrdiff_t panel, ptrdiff_t k, double *squares);
    void (*gradient_vector)(const Vector *vector, ptrdiff_t panel, double *squares);
    void (*apply_block)(const Weights *weights, ptrdiff_t panel, ptrdiff_t k, double *squares);
    void (*apply_vector)(const Vector *vector, ptrdiff_t panel, double *squares);
    void (*limit_columns)(const Weights *weights, ptrdiff_t panel, double max_norm);
    void (*transpose_block)(const Weights *weights, ptrdiff_t panel, ptrdiff_t k, ptrdiff_t count);
    void (*update)(const Update *update, void *w, const void *sum, void *m, void *v, ptrdiff_t n);
    void (*square_sums)(const Update *update, const void *w, ptrdiff_t rows, int vectors, double *squares);
    int (*are_finite)(const void *x, ptrdiff_t n, double scale);
    void (*pack)(const void *rows, int from_double, ptrdiff_t step, ptrdiff_t n_in, ptrdiff_t n_out, void *panels);
    void (*unpack)(const void *panels, ptrdiff_t n_in, ptrdiff_t n_out, void *rows, int to_double);
    void (*pack_transposed)(const void *rows, int from_double, ptrdiff_t n_in, ptrdiff_t n_out, void *panels);
    void (*unpack_transposed)(const void *panels, ptrdiff_t n_in, ptrdiff_t n_out, void *rows, int to_double);
    void (*map)(int function, const void *x, void *y, ptrdiff_t n); /* FUNCTION_*, for the tests */
    double (*multiply_add)(ptrdiff_t rounds, double *result);
} Kernels;

/* What a unit for bfloat16 dot products does in place of the kernels of a layer, in float32 otherwise: see
 * bfloat16.h. */
typedef struct {
    const char *unit;
    int tile;                      /* rows of a job are a multiple of it */
    void (*start_products)(void);  /* in each thread, before any of the products, ... */
    void (*finish_products)(void); /* ... and after them */
    void (*round_panel)(const void *x, ptrdiff_t rows, void *as_rows, void *as_columns, void *as_pairs);
    void (*round_weights)(const Weights *weights, ptrdiff_t panel, ptrdiff_t k);
    void (*forward)(const void *a, ptrdiff_t stride, ptrdiff_t rows, const void *w, ptrdiff_t n_in, const void *b,
                    void *out, int vectors, int activation, double parameter);
    void (*backward)(const void *dz, ptrdiff_t stride, ptrdiff_t rows, const void *wt, ptrdiff_t n_out,
                     const void *a_below, void *dz_below, int vectors, int activation, double parameter);
    void (*gradient_block)(const Weights *weights, ptrdiff_t panel, ptrdiff_t k, double *squares);
} Bf16Kernels;

#endif
