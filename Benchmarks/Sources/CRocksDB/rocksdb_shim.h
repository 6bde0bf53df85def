#if __has_include(<rocksdb/c.h>)
#include <rocksdb/c.h>
#else
#error "rocksdb/c.h is missing: install librocksdb-dev (Benchmarks/README.md has the line)"
#endif
