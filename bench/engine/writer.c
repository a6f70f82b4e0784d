// Writes lines of 100 bytes to stdout, fast: `writer MEGABYTES LINES`, where LINES is how many go into one write.
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv) {
  static char block[65536];
  if (argc < 3) return 2;
  long lines = atol(argv[2]), left = atol(argv[1]) * 10000;
  if (lines < 1 || lines > (long)sizeof block / 100) return 2;
  for (long i = 0; i < lines; i++) {
    memset(block + 100 * i, 'a' + (int)(i % 26), 99);
    block[100 * i + 99] = '\n';
  }
  while (left > 0) {
    size_t size = 100 * (size_t)(left < lines ? left : lines);
    for (size_t done = 0; done < size;) {
      ssize_t n = write(1, block + done, size - done);
      if (n < 0) return 1;
      done += (size_t)n;
    }
    left -= lines;
  }
  return 0;
}
