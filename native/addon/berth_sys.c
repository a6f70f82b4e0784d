// The addon behind packages/sys: raw system calls and posix_spawn for Node and Bun (Node-API).
//
// It knows no system call: numbers, structures and flags come from TypeScript (packages/sys/linux/abi.ts). So a new one needs no
// C, and this file stays short enough to review.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <node_api.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MAX_ARGS 6

// One argument of a system call: its value, and the memory to free if it was a string.
struct arg {
  long value;
  char *owned;
};

static napi_value throw_type(napi_env env, const char *text) {
  napi_throw_type_error(env, NULL, text);
  return NULL;
}

// Copies a string; NULL (with an exception pending) if it contains a NUL, where the kernel would cut it off.
static char *copy_string(napi_env env, napi_value value) {
  size_t len = 0;
  if (napi_get_value_string_utf8(env, value, NULL, 0, &len) != napi_ok) {
    throw_type(env, "expected a string");
    return NULL;
  }
  char *text = malloc(len + 1);
  if (!text) {
    throw_type(env, "out of memory");
    return NULL;
  }
  napi_get_value_string_utf8(env, value, text, len + 1, &len);
  if (strlen(text) != len) {
    free(text);
    throw_type(env, "a string for the kernel must not contain a NUL character");
    return NULL;
  }
  return text;
}

static bool buffer_pointer(napi_env env, napi_value value, void **data) {
  bool is = false;
  size_t len = 0;
  if (napi_is_buffer(env, value, &is) == napi_ok && is) return napi_get_buffer_info(env, value, data, &len) == napi_ok;
  if (napi_is_typedarray(env, value, &is) == napi_ok && is)
    return napi_get_typedarray_info(env, value, NULL, &len, data, NULL, NULL) == napi_ok;
  return false;
}

static bool read_arg(napi_env env, napi_value value, struct arg *out) {
  napi_valuetype type;
  void *data = NULL;
  bool lossless = false;
  int64_t number = 0;
  if (napi_typeof(env, value, &type) != napi_ok) return false;
  switch (type) {
    case napi_undefined:
    case napi_null: out->value = 0; return true;
    case napi_number:
      napi_get_value_int64(env, value, &number);
      out->value = (long)number;
      return true;
    case napi_bigint: {
      // Flags may use the top bit: take the low 64 bits, whatever the sign.
      uint64_t bits = 0;
      napi_get_value_bigint_uint64(env, value, &bits, &lossless);
      out->value = (long)bits;
      return true;
    }
    case napi_string:
      out->owned = copy_string(env, value);
      out->value = (long)out->owned;
      return out->owned != NULL;
    default:
      if (buffer_pointer(env, value, &data)) {
        out->value = (long)data;
        return true;
      }
      throw_type(env, "expected a number, bigint, string, typed array, null or undefined");
      return false;
  }
}

static void free_args(struct arg *args) {
  for (int i = 0; i < MAX_ARGS; i++) free(args[i].owned);
}

static long call_kernel(long number, const struct arg *a) {
  long result = syscall(number, a[0].value, a[1].value, a[2].value, a[3].value, a[4].value, a[5].value);
  return result < 0 ? -errno : result;
}

static bool read_call(napi_env env, napi_callback_info info, napi_value *argv, size_t *argc, int64_t *number, struct arg *args) {
  if (napi_get_cb_info(env, info, argc, argv, NULL, NULL) != napi_ok || *argc < 1 ||
      napi_get_value_int64(env, argv[0], number) != napi_ok) {
    throw_type(env, "expected the number of a system call");
    return false;
  }
  for (size_t i = 1; i < *argc && i <= MAX_ARGS; i++) {
    if (!read_arg(env, argv[i], &args[i - 1])) {
      free_args(args);
      return false;
    }
  }
  return true;
}

// syscall(number, ...args): the result, or the negated errno.
static napi_value js_syscall(napi_env env, napi_callback_info info) {
  napi_value argv[MAX_ARGS + 1], out = NULL;
  size_t argc = MAX_ARGS + 1;
  int64_t number = 0;
  struct arg args[MAX_ARGS] = {0};
  if (!read_call(env, info, argv, &argc, &number, args)) return NULL;
  long result = call_kernel((long)number, args);
  free_args(args);
  napi_create_int64(env, result, &out);
  return out;
}

struct work {
  long number;
  long result;
  struct arg args[MAX_ARGS];
  napi_ref buffers[MAX_ARGS];  // keep typed arrays alive while a thread uses their memory
  napi_deferred deferred;
  napi_async_work handle;
};

static void work_execute(napi_env env, void *data) {
  (void)env;
  struct work *work = data;
  work->result = call_kernel(work->number, work->args);
}

static void work_complete(napi_env env, napi_status status, void *data) {
  struct work *work = data;
  napi_value out;
  napi_create_int64(env, status == napi_cancelled ? -ECANCELED : work->result, &out);
  napi_resolve_deferred(env, work->deferred, out);
  for (int i = 0; i < MAX_ARGS; i++)
    if (work->buffers[i]) napi_delete_reference(env, work->buffers[i]);
  napi_delete_async_work(env, work->handle);
  free_args(work->args);
  free(work);
}

// syscallAsync(number, ...args): the same on a thread of the pool, as a promise; for calls that may block.
static napi_value js_syscall_async(napi_env env, napi_callback_info info) {
  napi_value argv[MAX_ARGS + 1], promise = NULL, name;
  size_t argc = MAX_ARGS + 1;
  int64_t number = 0;
  struct work *work = calloc(1, sizeof *work);
  if (!work) return throw_type(env, "out of memory");
  if (!read_call(env, info, argv, &argc, &number, work->args)) {
    free(work);
    return NULL;
  }
  work->number = (long)number;
  for (size_t i = 1; i < argc && i <= MAX_ARGS; i++) {
    napi_valuetype type;
    if (napi_typeof(env, argv[i], &type) == napi_ok && type == napi_object)
      napi_create_reference(env, argv[i], 1, &work->buffers[i - 1]);
  }
  napi_create_promise(env, &work->deferred, &promise);
  napi_create_string_utf8(env, "berth:syscall", NAPI_AUTO_LENGTH, &name);
  napi_create_async_work(env, NULL, name, work_execute, work_complete, work, &work->handle);
  napi_queue_async_work(env, work->handle);
  return promise;
}

// address(typedArray): where its bytes are, as a bigint, for structures that hold pointers.
static napi_value js_address(napi_env env, napi_callback_info info) {
  napi_value argv[1], out = NULL;
  size_t argc = 1;
  void *data = NULL;
  if (napi_get_cb_info(env, info, &argc, argv, NULL, NULL) != napi_ok || argc < 1 || !buffer_pointer(env, argv[0], &data))
    return throw_type(env, "expected a typed array");
  napi_create_bigint_uint64(env, (uint64_t)(uintptr_t)data, &out);
  return out;
}

static char **read_strings(napi_env env, napi_value array, uint32_t *count) {
  if (napi_get_array_length(env, array, count) != napi_ok) {
    throw_type(env, "expected an array of strings");
    return NULL;
  }
  char **list = calloc((size_t)*count + 1, sizeof *list);
  for (uint32_t i = 0; list && i < *count; i++) {
    napi_value item;
    napi_get_element(env, array, i, &item);
    if (!(list[i] = copy_string(env, item))) {
      for (uint32_t k = 0; k < i; k++) free(list[k]);
      free(list);
      return NULL;
    }
  }
  return list;
}

static void free_strings(char **list) {
  for (char **s = list; s && *s; s++) free(*s);
  free(list);
}

#define MAX_FDS 128

// spawn(path, argv, env, fds, setsid): the pid, or the negated errno. fds[i] becomes the child's descriptor i
// (-1: closed). Every other descriptor is close-on-exec already: Node, Bun and berth open them so.
static napi_value js_spawn(napi_env env, napi_callback_info info) {
  napi_value argv[5], out = NULL;
  size_t argc = 5;
  uint32_t count = 0, nfds = 0;
  bool setsid_wanted = false;
  if (napi_get_cb_info(env, info, &argc, argv, NULL, NULL) != napi_ok || argc < 5 ||
      napi_get_array_length(env, argv[3], &nfds) != napi_ok || nfds > MAX_FDS)
    return throw_type(env, "expected path, argv, env, fds (at most 128), setsid");
  napi_get_value_bool(env, argv[4], &setsid_wanted);
  char *path = copy_string(env, argv[0]);
  char **args = path ? read_strings(env, argv[1], &count) : NULL;
  char **vars = args ? read_strings(env, argv[2], &count) : NULL;
  if (!vars) {
    free(path);
    free_strings(args);
    return NULL;
  }
  int copies[MAX_FDS], error = 0;
  pid_t pid = -1;
  uint32_t made = 0;
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attr;
  sigset_t all, none;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attr);
  sigfillset(&all);
  sigemptyset(&none);
  posix_spawnattr_setsigdefault(&attr, &all);
  posix_spawnattr_setsigmask(&attr, &none);
  posix_spawnattr_setflags(&attr,
                           (short)(POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | (setsid_wanted ? POSIX_SPAWN_SETSID : 0)));
  // Copies above all targets first, so that no dup2 overwrites a descriptor that a later one needs.
  for (; made < nfds && !error; made++) {
    napi_value item;
    int32_t fd = -1;
    napi_get_element(env, argv[3], made, &item);
    napi_get_value_int32(env, item, &fd);
    copies[made] = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, (int)nfds);
    if (fd >= 0 && copies[made] < 0) error = errno;
  }
  for (uint32_t i = 0; i < made && !error; i++)
    error = copies[i] < 0 ? posix_spawn_file_actions_addclose(&actions, (int)i)
                          : posix_spawn_file_actions_adddup2(&actions, copies[i], (int)i);
  if (!error) error = posix_spawn(&pid, path, &actions, &attr, args, vars);
  for (uint32_t i = 0; i < made; i++)
    if (copies[i] >= 0) close(copies[i]);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attr);
  free(path);
  free_strings(args);
  free_strings(vars);
  napi_create_int64(env, error ? -error : pid, &out);
  return out;
}

static napi_value init(napi_env env, napi_value exports) {
  const napi_property_descriptor functions[] = {
      {"syscall", NULL, js_syscall, NULL, NULL, NULL, napi_enumerable, NULL},
      {"syscallAsync", NULL, js_syscall_async, NULL, NULL, NULL, napi_enumerable, NULL},
      {"address", NULL, js_address, NULL, NULL, NULL, napi_enumerable, NULL},
      {"spawn", NULL, js_spawn, NULL, NULL, NULL, napi_enumerable, NULL},
  };
  napi_define_properties(env, exports, sizeof functions / sizeof *functions, functions);
  return exports;
}

NAPI_MODULE(berth_sys, init)
