/* The one door between the orchestration (engine.pyx) and the vector code: a table of functions for each instruction set and dtype.
 *
 * kernels.c fills one such table each time it is compiled. The orchestration is compiled once and is blind to both: it moves through
 * memory by `real_bytes` and `panel` (NR, the columns of a panel) and passes arrays as `void *` of the table's dtype.
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

enum { ACTIVATION_IDENTITY, ACTIVATION_LOGISTIC, ACTIVATION_TANH, ACTIVATION_RELU, N_ACTIVATIONS };
enum { LOSS_LOG, LOSS_BINARY_LOG, LOSS_SQUARED_ERROR, LOSS_POISSON, N_LOSSES };
enum { UPDATE_NONE, UPDATE_SGD, UPDATE_ADAM, N_UPDATES };
enum { SOURCE_FLOAT32, SOURCE_FLOAT64, SOURCE_INT8, SOURCE_INT16, SOURCE_INT32, SOURCE_INT64,
       SOURCE_UINT8, SOURCE_UINT16, SOURCE_UINT32, SOURCE_UINT64, N_SOURCES };
enum { FUNCTION_EXP, FUNCTION_LOG, FUNCTION_LOG1P_UNIT, FUNCTION_SQRT, FUNCTION_RECIPROCAL, N_FUNCTIONS };
enum { NARROW = 4 };  /* outputs up to which a layer is computed by dot products */
enum { BLOCK = 32 };  /* inputs of a gradient block, the same for every instruction set: the blocks' sums of squares are too */

/* One optimizer step. The gradient of a weight w is scale * sum + decay * w, its mean over the batch plus the L2 term's. */
typedef struct {
    int kind; /* UPDATE_NONE writes the gradient and leaves the weights */
    int nesterov;
    double scale, decay, rate, momentum, beta_1, beta_2, epsilon;
} Update;

/* The gradient of one layer over the rows of a chunk: what each entry is for stands in dense.h. */
typedef struct {
    const void *a, *dz;   /* inputs and output gradients of the layer, in panels */
    ptrdiff_t stride;     /* of both */
    ptrdiff_t rows;       /* of the chunk */
    ptrdiff_t n_in, n_out;
    void *w, *wt, *m, *v, *g; /* g: the sums over earlier chunks, NULL where the batch is one chunk */
    void *b, *bm, *bv, *bg;
    int add, finish;      /* add g to this chunk's sum; update (else store the sum in g) */
    int narrow;
    const Update *update;
} Gradient;

/* Rows of a sparse table, as scipy's CSR has them. */
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

typedef void gather_fn(const char *x, ptrdiff_t row_bytes, ptrdiff_t column_bytes, const ptrdiff_t *index, ptrdiff_t rows,
                       ptrdiff_t n_features, void *out, ptrdiff_t stride);

typedef struct {
    const char *isa;
    int real_bytes, panel, tile;
    gather_fn *gather[N_SOURCES];
    void (*densify)(const Csr *x, const ptrdiff_t *index, ptrdiff_t rows, ptrdiff_t n_features, void *out, ptrdiff_t stride);
    void (*transpose_csr)(const Csr *x, const ptrdiff_t *index, ptrdiff_t rows, ptrdiff_t n_features, Csc *out);
    void (*forward)(const void *a, ptrdiff_t stride, ptrdiff_t rows, const void *w, ptrdiff_t n_in, const void *b, void *out,
                    int vectors, int activation);
    void (*forward_narrow)(const void *a, ptrdiff_t stride, ptrdiff_t rows, const void *w, ptrdiff_t n_in, ptrdiff_t n_out,
                           const void *b, void *out);
    void (*forward_sparse)(const Csr *x, const ptrdiff_t *index, ptrdiff_t rows, const void *w, ptrdiff_t n_in, ptrdiff_t n_out,
                           const void *b, void *out, ptrdiff_t stride, int activation);
    void (*backward)(const void *dz, ptrdiff_t stride, ptrdiff_t rows, const void *wt, ptrdiff_t n_out, const void *a_below,
                     void *dz_below, int vectors, int activation);
    void (*clear_pads)(void *a, ptrdiff_t rows, ptrdiff_t n);
    void (*activate)(int activation, const void *z, void *a, ptrdiff_t n);
    void (*derive)(int activation, const void *a, const void *da, void *dz, ptrdiff_t n);
    void (*lose)(int loss, void *z, ptrdiff_t stride, ptrdiff_t rows, ptrdiff_t n_out, const void *y, const ptrdiff_t *label,
                 const ptrdiff_t *index, const double *weight, double gradient_scale, void *scratch, double *row_loss);
    void (*output)(int loss, void *z, ptrdiff_t stride, ptrdiff_t rows, ptrdiff_t n_out, void *scratch, void *out);
    void (*gradient_block)(const Gradient *layer, ptrdiff_t panel, ptrdiff_t k, double *squares);
    void (*gradient_block_sparse)(const Gradient *layer, const Csc *x, ptrdiff_t panel, ptrdiff_t k, double *squares);
    void (*gradient_bias)(const Gradient *layer, ptrdiff_t panel, double *squares);
    void (*transpose_block)(const Gradient *layer, ptrdiff_t panel, ptrdiff_t k, ptrdiff_t count);
    void (*update)(const Update *update, void *w, const void *sum, void *m, void *v, ptrdiff_t n);
    void (*square_sums)(const void *w, ptrdiff_t rows, int vectors, double *squares);
    void (*pack)(const void *rows, int from_double, ptrdiff_t n_in, ptrdiff_t n_out, void *panels);
    void (*unpack)(const void *panels, ptrdiff_t n_in, ptrdiff_t n_out, void *rows, int to_double);
    void (*pack_transposed)(const void *rows, int from_double, ptrdiff_t n_in, ptrdiff_t n_out, void *panels);
    void (*unpack_transposed)(const void *panels, ptrdiff_t n_in, ptrdiff_t n_out, void *rows, int to_double);
    void (*map)(int function, const void *x, void *y, ptrdiff_t n); /* FUNCTION_*, for the tests */
    double (*multiply_add)(ptrdiff_t rounds, double *result);
} Kernels;

#endif
