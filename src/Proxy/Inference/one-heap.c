// One heap for all native code: otherwise each computing thread would keep a heap of its own, as large as its largest batch. It has to be set before there are
// threads, which is before the first line of C#.
#include <malloc.h>

__attribute__((constructor)) static void one_heap(void) { mallopt(M_ARENA_MAX, 1); }
