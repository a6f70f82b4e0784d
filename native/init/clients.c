// Serves keeper.sock; see clients.h.
#include "clients.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "cleanup.h"
#include "descriptors.h"
#include "keeper.h"

// listen(path of keeper.sock, mode)
int op_listen(struct state *st, const struct arg *args, int argc) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (args[0].length >= sizeof address.sun_path) return -ENAMETOOLONG;
  strcpy(address.sun_path, STR(0));
  _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -errno;
  mode_t mask = umask(0777 & ~(mode_t)NUM(1));
  int result = bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, MAX_CLIENTS) < 0 ? -errno : 0;
  umask(mask);
  if (result == 0) st->keeper->clients.listener = take_fd(&fd);
  return result;
}

// `descriptor` came with the line, or is -1; taken if the command is for it.
static int run_command(struct state *st, const char *line, int *descriptor) {
  struct keeper *k = st->keeper;
  unsigned columns, rows, number;
  // Only the keeper reaps the process: until it does, the pid cannot be reused.
  if (sscanf(line, "KILL %u", &number) == 1) return kill(st->child, (int)number) < 0 ? -errno : 0;
  if (sscanf(line, "ADOPT %u", &number) == 1) {
    st->child = (pid_t)number;  // restored by criu, it is our child as criu was
    return 0;
  }
  if (strcmp(line, "TERMINAL") == 0) {
    if (*descriptor < 0 || k->relay.master >= 0) return -EINVAL;
    k->relay.master = take_fd(descriptor);
    return 0;
  }
  if (sscanf(line, "RESIZE %u %u", &columns, &rows) == 2)
    return relay_resize(&k->relay, (unsigned short)columns, (unsigned short)rows);
  if (strcmp(line, "CLOSE_STDIN") == 0) {
    close_fd(&k->stdin_hold);
    return 0;
  }
  if (strcmp(line, "REOPEN_LOG") == 0) return k->log.fd < 0 ? -EINVAL : log_file_reopen(&k->log);
  return -EINVAL;
}

static bool serve(struct state *st, struct client *c) {
  _cleanup_close_ int descriptor = -1;
  int n = receive_descriptor(c->fd, &descriptor, c->line + c->used, (unsigned)sizeof c->line - c->used);
  if (n == -EAGAIN) return true;
  if (n <= 0) return false;
  c->used += (unsigned)n;
  char *end;
  while ((end = memchr(c->line, '\n', c->used))) {
    *end = 0;
    int result = run_command(st, c->line, &descriptor);
    char answer[32];
    int size = result < 0 ? snprintf(answer, sizeof answer, "ERR %d\n", -result) : snprintf(answer, sizeof answer, "OK\n");
    if (send(c->fd, answer, (size_t)size, MSG_NOSIGNAL) < 0) return false;
    c->used -= (unsigned)(end + 1 - c->line);
    memmove(c->line, end + 1, c->used);
  }
  return c->used < sizeof c->line;
}

void clients_serve(struct state *st, int index) {
  struct clients *clients = &st->keeper->clients;
  if (serve(st, &clients->list[index])) return;
  close(clients->list[index].fd);
  clients->list[index] = clients->list[--clients->count];
}

void clients_accept(struct state *st) {
  struct clients *clients = &st->keeper->clients;
  unsigned ooms = st->keeper->oom.count;
  char text[64];
  _cleanup_close_ int fd = accept4(clients->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  int size = snprintf(text, sizeof text, "PID %d\n", st->child);
  if (ooms) size += snprintf(text + size, sizeof text - (size_t)size, "OOM %u\n", ooms);
  if (fd >= 0 && send(fd, text, (size_t)size, MSG_NOSIGNAL) == size)
    clients->list[clients->count++] = (struct client){.fd = take_fd(&fd)};
}

void clients_send(const struct clients *clients, const char *text, size_t size) {
  for (int i = 0; i < clients->count; i++) send(clients->list[i].fd, text, size, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void clients_end(struct clients *clients, const char *text, size_t size) {
  int fd;
  while (clients->count < MAX_CLIENTS && clients->listener >= 0 && (fd = accept4(clients->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0)
    clients->list[clients->count++] = (struct client){.fd = fd};
  clients_send(clients, text, size);
  while (clients->count > 0) close(clients->list[--clients->count].fd);
  close_fd(&clients->listener);
}
