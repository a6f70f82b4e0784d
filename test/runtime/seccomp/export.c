/*
 * Reads rules on standard input, one per line, and writes libseccomp's BPF program to standard output:
 *   default ACTION          (a filter return value, as a number)
 *   arch TOKEN              (libseccomp's number; the native one comes first and is never removed)
 *   rule ACTION NAME [INDEX OP A B]...
 * Names that libseccomp does not know are skipped. With the argument "names" it lists instead, for each NAME
 * given on standard input, whether it is known.
 */
#include <inttypes.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint32_t native;

static void fail(const char *what, int rc) {
  fprintf(stderr, "%s: %s\n", what, strerror(-rc));
  exit(1);
}

int main(int argc, char **argv) {
  static char line[8192];
  if (argc > 1 && strcmp(argv[1], "names") == 0) {
    while (fgets(line, sizeof line, stdin)) {
      line[strcspn(line, "\n")] = 0;
      printf("%s %d\n", line, seccomp_syscall_resolve_name(line) != __NR_SCMP_ERROR);
    }
    return 0;
  }
  scmp_filter_ctx ctx = NULL;
  while (fgets(line, sizeof line, stdin)) {
    char *word = strtok(line, " \n");
    if (word == NULL) continue;
    if (strcmp(word, "default") == 0) {
      ctx = seccomp_init((uint32_t)strtoul(strtok(NULL, " \n"), NULL, 10));
      if (ctx == NULL) fail("init", 0);
      if (argc > 1) {
        native = (uint32_t)strtoul(argv[1], NULL, 10);
        if (native != seccomp_arch_native()) {
          /* In this order, as a filter cannot mix byte orders. */
          int rc = seccomp_arch_remove(ctx, seccomp_arch_native());
          if (rc == 0) rc = seccomp_arch_add(ctx, native);
          if (rc) fail("native", rc);
        }
      }
    } else if (strcmp(word, "arch") == 0) {
      int rc = seccomp_arch_add(ctx, (uint32_t)strtoul(strtok(NULL, " \n"), NULL, 10));
      if (rc && rc != -17) fail("arch", rc);
    } else if (strcmp(word, "rule") == 0) {
      uint32_t action = (uint32_t)strtoul(strtok(NULL, " \n"), NULL, 10);
      int nr = seccomp_syscall_resolve_name(strtok(NULL, " \n"));
      struct scmp_arg_cmp args[6];
      unsigned count = 0;
      char *index;
      while (count < 6 && (index = strtok(NULL, " \n")) != NULL) {
        args[count].arg = (unsigned)atoi(index);
        args[count].op = (enum scmp_compare)atoi(strtok(NULL, " \n"));
        args[count].datum_a = strtoull(strtok(NULL, " \n"), NULL, 10);
        args[count].datum_b = strtoull(strtok(NULL, " \n"), NULL, 10);
        count++;
      }
      if (nr == __NR_SCMP_ERROR) continue;
      int rc = seccomp_rule_add_array(ctx, action, nr, count, args);
      /* libseccomp refuses some rules that overlap: the caller then has nothing to compare with. */
      if (rc == -17) return 17;
      if (rc) fail("rule", rc);
    }
  }
  int rc = seccomp_export_bpf(ctx, 1);
  if (rc) fail("export", rc);
  return 0;
}
