/* The products of one bfloat16 unit, gathered in a table: included by its file in tables/. */
#include "kernels.h"
#include "vector.h"
#include "vmath.h"
#include "activation.h"
#include "update.h"
#include "bfloat16.h"

const Bf16Kernels NNFAST_BF16_TABLE = {
    .unit = NNFAST_UNIT,
    .tile = SIDE,
    .start_products = start_products,
    .finish_products = finish_products,
    .round_panel = round_panel,
    .round_weights = round_weights,
    .forward = forward_bf16,
    .backward = backward_bf16,
    .gradient_block = gradient_block_bf16,
};
