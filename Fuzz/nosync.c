// A canary: preloaded, it lets every sync succeed and do nothing. A harness that finds nothing wrong then is blind.
int fdatasync(int descriptor) {
  (void)descriptor;
  return 0;
}

int fsync(int descriptor) {
  (void)descriptor;
  return 0;
}
