// Fuzzes the plan parser: mutates a real plan (argv[1]) argv[2] times and parses every result, arguments included. Built
// with the sanitizers, which abort it at the first invalid access. It needs no tool beyond the C compiler.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../init/operations.h"
#include "../init/plan.h"

static uint64_t state = 88172645463325252ull;

static uint32_t random32(void) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return (uint32_t)(state >> 16);
}

static const uint64_t edges[] = {0, 1, 2, 7, 8, 0xff, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff};

static void mutate(uint8_t *data, size_t *size, size_t room) {
  for (uint32_t n = 1 + random32() % 4; n > 0 && *size > 8; n--) {
    size_t at = random32() % *size;
    switch (random32() % 6) {
      case 0: data[at] ^= (uint8_t)(1u << random32() % 8); break;
      case 1: data[at] = (uint8_t)random32(); break;
      case 2:
        at &= ~(size_t)3;
        if (at + 4 <= *size) {
          uint32_t v = (uint32_t)edges[random32() % 10];
          memcpy(data + at, &v, 4);
        }
        break;
      case 3: *size = at; break;
      case 4:
        if (*size + 8 < room) {
          memmove(data + at + 8, data + at, *size - at);
          *size += 8;
        }
        break;
      case 5:
        if (at + 8 < *size) {
          memmove(data + at, data + at + 8, *size - at - 8);
          *size -= 8;
        }
        break;
    }
  }
  // Usually keep the size in the header right, or the parser would never get past it.
  uint32_t total = (uint32_t)*size;
  if (random32() % 8 && *size >= 12) memcpy(data + 8, &total, 4);
}

static int parse(const uint8_t *bytes, size_t size) {
  static struct arg args[MAX_OP_ARGS];
  // A copy of the exact size, so that the sanitizer catches reading one byte too far.
  uint8_t *data = malloc(size ? size : 1);
  struct plan plan;
  size_t offset;
  memcpy(data, bytes, size);
  int good = plan_parse(data, size, &plan, &offset);
  if (good) {
    uint64_t total = 0;
    for (int s = 0; s < SECTIONS; s++) total += plan.count[s];
    volatile uint64_t sum = 0;
    for (uint64_t i = 0; i < total; i++) {
      op_args(&plan.ops[i], args);
      for (int a = 0; a < plan.ops[i].argc; a++) sum += args[a].kind == ARG_INT ? (uint64_t)args[a].number : strlen(args[a].bytes);
    }
  }
  if (offset > size) abort();
  free(plan.ops);
  free(data);
  return good;
}

int main(int argc, char **argv) {
  static uint8_t seed[1 << 20], data[1 << 20];
  FILE *file = argc == 3 ? fopen(argv[1], "rb") : NULL;
  if (!file) return 2;
  size_t size = fread(seed, 1, sizeof seed / 2, file);
  fclose(file);
  if (!parse(seed, size)) return 3;
  long good = 0, rounds = atol(argv[2]);
  for (long i = 0; i < rounds; i++) {
    size_t n = size;
    memcpy(data, seed, size);
    mutate(data, &n, sizeof data);
    good += parse(data, n);
  }
  printf("%ld of %ld mutations were plans\n", good, rounds);
  return 0;
}
