#if __has_include(<sqlite3.h>)
#include <sqlite3.h>
#else
#error "sqlite3.h is missing: install libsqlite3-dev (Benchmarks/README.md has the line)"
#endif
