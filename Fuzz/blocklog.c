// A FUSE file system of one file, `image`, that keeps a log of all that is done to it: the disk under Fuzz/block-replay.py.
//
//   blocklog MOUNTPOINT IMAGE LOG
//
// Single-threaded, so that the log is in the order in which things took effect. Each entry is a header and, for a write,
// its bytes: kind, 'w' write or 'f' flush; start and end, nanoseconds of CLOCK_MONOTONIC; offset and length. What a flush
// covers is all that ended before it.
#define _GNU_SOURCE
#define FUSE_USE_VERSION 31
#include <errno.h>
#include <fcntl.h>
#include <fuse3/fuse.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int image, logfile;

struct entry {
  uint64_t kind, start, end, offset, length;
};

static uint64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static void put(const void *bytes, size_t count) {
  while (count > 0) {
    ssize_t done = write(logfile, bytes, count);
    // Without its log the disk is of no use.
    if (done < 0) abort();
    bytes = (const char *)bytes + done;
    count -= done;
  }
}

static int get_attributes(const char *path, struct stat *status, struct fuse_file_info *info) {
  (void)info;
  memset(status, 0, sizeof *status);
  if (strcmp(path, "/") == 0) {
    status->st_mode = S_IFDIR | 0700;
    status->st_nlink = 2;
    return 0;
  }
  if (strcmp(path, "/image") != 0) return -ENOENT;
  return fstat(image, status) == 0 ? 0 : -errno;
}

static int open_file(const char *path, struct fuse_file_info *info) {
  if (strcmp(path, "/image") != 0) return -ENOENT;
  // No cache between the loop device and the log.
  info->direct_io = 1;
  return 0;
}

static int read_bytes(const char *path, char *bytes, size_t count, off_t offset, struct fuse_file_info *info) {
  (void)path, (void)info;
  ssize_t done = pread(image, bytes, count, offset);
  return done < 0 ? -errno : (int)done;
}

static int write_bytes(const char *path, const char *bytes, size_t count, off_t offset, struct fuse_file_info *info) {
  (void)path, (void)info;
  struct entry entry = {'w', now(), 0, offset, count};
  ssize_t done = pwrite(image, bytes, count, offset);
  if (done != (ssize_t)count) return -EIO;
  entry.end = now();
  put(&entry, sizeof entry);
  put(bytes, count);
  return (int)count;
}

static int flush_all(const char *path, int only_data, struct fuse_file_info *info) {
  (void)path, (void)only_data, (void)info;
  struct entry entry = {'f', now(), 0, 0, 0};
  entry.end = now();
  put(&entry, sizeof entry);
  return 0;
}

static void *begin(struct fuse_conn_info *connection, struct fuse_config *config) {
  (void)config;
  connection->max_write = 1 << 20;
  return NULL;
}

// No fallocate: the loop device then has neither discard nor a way to zero but writing zeros.
static const struct fuse_operations operations = {
    .init = begin, .getattr = get_attributes, .open = open_file, .read = read_bytes, .write = write_bytes, .fsync = flush_all,
};

int main(int count, char **words) {
  if (count != 4) return 64;
  image = open(words[2], O_RDWR);
  logfile = open(words[3], O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600);
  if (image < 0 || logfile < 0) {
    perror("blocklog");
    return 1;
  }
  char *arguments[] = {words[0], "-f", "-s", "-o", "fsname=blocklog", words[1], NULL};
  return fuse_main(6, arguments, &operations, NULL);
}
