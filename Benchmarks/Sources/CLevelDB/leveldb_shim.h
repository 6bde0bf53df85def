#if __has_include(<leveldb/c.h>)
#include <leveldb/c.h>
#else
#error "leveldb/c.h is missing: install libleveldb-dev (Benchmarks/README.md has the line)"
#endif
