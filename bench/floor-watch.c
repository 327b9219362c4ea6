/*
 * The floor of noticing a new file on Linux: `floor-watch FOLDER SUFFIX` waits for inotify, and reads each file with this
 * suffix that was closed after writing or renamed. Prints "ready", for each file "read NANOSECONDS NAME" (CLOCK_MONOTONIC,
 * when its last byte had been read), "overflow" where the queue ran over, and at the end of its standard input
 * "usage MICROSECONDS KILOBYTES": processor time and peak resident memory.
 */

#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static char content[1 << 20];
static char queue[1 << 16] __attribute__((aligned(__alignof__(struct inotify_event))));
static char output[1 << 20];

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static int ends_with(const char *name, const char *suffix) {
  size_t length = strlen(name), tail = strlen(suffix);
  return length >= tail && strcmp(name + length - tail, suffix) == 0;
}

static void read_file(int folder, const char *name) {
  int file = openat(folder, name, O_RDONLY | O_CLOEXEC);
  if (file < 0) return;
  while (read(file, content, sizeof content) > 0) {
  }
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  close(file);
  printf("read %lld %s\n", now.tv_sec * 1000000000LL + now.tv_nsec, name);
}

int main(int count, char **arguments) {
  if (count != 3) {
    fprintf(stderr, "usage: floor-watch FOLDER SUFFIX\n");
    return 2;
  }
  setvbuf(stdout, output, _IOFBF, sizeof output);
  int folder = open(arguments[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) fail(arguments[1]);
  int watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
  if (watch < 0 || inotify_add_watch(watch, arguments[1], IN_CLOSE_WRITE | IN_MOVED_TO) < 0) fail("inotify");
  printf("ready\n");
  struct pollfd waits[2] = {{.fd = watch, .events = POLLIN}, {.fd = STDIN_FILENO, .events = POLLIN}};
  for (;;) {
    ssize_t length = read(watch, queue, sizeof queue);
    if (length <= 0) {
      /* Told only when nothing else is left to do. */
      fflush(stdout);
      if (poll(waits, 2, -1) < 0) fail("poll");
      if (waits[1].revents != 0) break;
      continue;
    }
    for (char *at = queue; at < queue + length;) {
      struct inotify_event *event = (struct inotify_event *)at;
      if (event->mask & IN_Q_OVERFLOW) printf("overflow\n");
      else if (event->len > 0 && ends_with(event->name, arguments[2])) read_file(folder, event->name);
      at += sizeof *event + event->len;
    }
  }
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  long long microseconds = (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000LL + usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
  long kilobytes = 0;
  /* Not ru_maxrss: a child inherits there what its parent had reached. */
  FILE *status = fopen("/proc/self/status", "r");
  for (char line[256]; status && fgets(line, sizeof line, status);) sscanf(line, "VmHWM: %ld", &kilobytes);
  printf("usage %lld %ld\n", microseconds, kilobytes);
  return 0;
}
