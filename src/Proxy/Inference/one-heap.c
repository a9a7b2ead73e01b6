// One heap for all native code. Each thread that computes would otherwise keep one of its own, as large as its largest batch; and it
// has to be said before there are threads, which is before the first line of C#.
#include <malloc.h>

__attribute__((constructor)) static void one_heap(void) { mallopt(M_ARENA_MAX, 1); }
