/* An LD_PRELOAD shim: fsync and fdatasync take FSYNC_DELAY_US longer, as on a disk that really flushes. Virtual disks often
   acknowledge within 0.1 ms; cloud volumes take 0.5 to 3 ms. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>

static void nap(void) {
  static long us = -1;
  if (us < 0) {
    const char *text = getenv("FSYNC_DELAY_US");
    us = text ? atol(text) : 0;
  }
  if (us > 0) {
    struct timespec pause = {us / 1000000, (us % 1000000) * 1000};
    nanosleep(&pause, 0);
  }
}

int fsync(int fd) {
  static int (*real)(int);
  if (!real) real = dlsym(RTLD_NEXT, "fsync");
  nap();
  return real(fd);
}

int fdatasync(int fd) {
  static int (*real)(int);
  if (!real) real = dlsym(RTLD_NEXT, "fdatasync");
  nap();
  return real(fd);
}
