/* Which of the compiled tables this CPU can run. */
#ifndef NNFAST_DISPATCH_H
#define NNFAST_DISPATCH_H

#include "kernels.h"

enum { ISA_BASELINE, ISA_AVX2, ISA_AVX512, N_ISAS };

const char *nnfast_isa_name(int isa);
int nnfast_isa_runs(int isa);                               /* compiled in, and the CPU has it */
const Kernels *nnfast_kernels(int isa, int double_precision); /* NULL where it does not run */

#endif
