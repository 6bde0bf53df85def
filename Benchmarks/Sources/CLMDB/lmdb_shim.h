#if __has_include(<lmdb.h>)
#include <lmdb.h>
#else
#error "lmdb.h is missing: install liblmdb-dev (Benchmarks/README.md has the line)"
#endif
