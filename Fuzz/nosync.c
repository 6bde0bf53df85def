// A canary: preloaded, it lets syncs succeed and do nothing; every one, or with NOSYNC_EVERY=n one fdatasync in n and no
// other. A harness that finds nothing wrong then is blind.
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static int every(void) {
  const char *text = getenv("NOSYNC_EVERY");
  return text ? atoi(text) : 1;
}

int fdatasync(int descriptor) {
  static int count;
  if (__atomic_add_fetch(&count, 1, __ATOMIC_RELAXED) % every() == 0) return 0;
  return (int)syscall(SYS_fdatasync, descriptor);
}

int fsync(int descriptor) { return every() == 1 ? 0 : (int)syscall(SYS_fsync, descriptor); }
