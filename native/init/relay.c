// Relays a terminal; see relay.h.
#include "relay.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>
#include "descriptors.h"
#include "files.h"
#include "keeper.h"

static struct termios saved_modes;
static bool modes_saved;

void relay_begin(struct relay *relay) {
  struct termios modes;
  struct winsize size;
  if (!relay->foreground || relay->master < 0) return;
  // Only one of the two may turn NL into CR NL on output: the caller's.
  if (tcgetattr(relay->master, &modes) == 0) {
    modes.c_oflag &= ~(tcflag_t)ONLCR;
    tcsetattr(relay->master, TCSANOW, &modes);
  }
  if (tcgetattr(relay->in, &modes) == 0) {
    saved_modes = modes;
    modes_saved = true;
    cfmakeraw(&modes);
    modes.c_oflag |= OPOST;
    tcsetattr(relay->in, TCSANOW, &modes);
  }
  if (ioctl(relay->in, TIOCGWINSZ, &size) == 0) ioctl(relay->master, TIOCSWINSZ, &size);
}

void relay_end(const struct relay *relay) {
  if (modes_saved) tcsetattr(relay->in, TCSANOW, &saved_modes);
}

int relay_resize(const struct relay *relay, unsigned short columns, unsigned short rows) {
  struct winsize size = {.ws_col = columns, .ws_row = rows};
  return relay->master < 0 ? -ENOTTY : ioctl(relay->master, TIOCSWINSZ, &size) < 0 ? -errno : 0;
}

void relay_follow_size(const struct relay *relay) {
  struct winsize size;
  if (relay->foreground && ioctl(relay->in, TIOCGWINSZ, &size) == 0) relay_resize(relay, size.ws_col, size.ws_row);
}

bool relay_output(struct relay *relay, struct log_file *file, struct source *source) {
  static char bytes[16384];
  ssize_t n = read(relay->master, bytes, sizeof bytes);
  if (n < 0) return errno == EINTR || errno == EAGAIN;
  if (n == 0) return false;
  if (file->fd >= 0) log_bytes(file, source, bytes, (uint32_t)n);
  sink_write(&relay->out, bytes, (uint32_t)n);
  return true;
}

bool relay_input(const struct relay *relay) {
  static char bytes[16384];
  ssize_t n = read(relay->in, bytes, sizeof bytes);
  if (n < 0) return errno == EINTR || errno == EAGAIN;
  return n > 0 && write_all(relay->master, bytes, (size_t)n) == 0;
}

// relay(in slot or -1, out slot or -1, foreground, from child): takes the terminal's master from the child, or else leaves it
// to the command TERMINAL.
int op_relay(struct state *st, const struct arg *args, int argc) {
  struct relay *relay = &st->keeper->relay;
  char byte;
  if (NUM(0) >= 0 && (relay->in = slot_copy(st, NUM(0))) < 0) return relay->in;
  relay->foreground = NUM(2) != 0;
  if (NUM(1) >= 0) {
    // In the foreground the flags belong to the caller's terminal: they stay as they are.
    int out = slot_copy(st, NUM(1)), result = relay->foreground ? (relay->out.fd = out) : sink_open(&relay->out, out);
    if (result < 0) return result;
  }
  if (relay->in >= 0 && !relay->foreground) {
    // As with fifo_in: no end of file between two clients.
    char self[64];
    snprintf(self, sizeof self, "/proc/self/fd/%d", relay->in);
    st->keeper->stdin_hold = open(self, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
  }
  if (!NUM(3)) return 0;
  int n = receive_descriptor(st->sync, &relay->master, &byte, 1);
  return n < 0 ? n : 0;  // no descriptor: the child failed and has reported why
}
