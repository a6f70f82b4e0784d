// The container's terminal, made in its own devpts; the master goes to whoever relays it.
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>
#include "cleanup.h"
#include "descriptors.h"
#include "files.h"

// Opens the ptmx of the container's devpts; refuses anything else that the image put there.
static int open_ptmx(int root) {
  struct statfs fs;
  struct stat info;
  _cleanup_close_ int fd = open_in_root(root, "/dev/pts/ptmx", O_RDWR | O_NOCTTY);
  if (fd < 0) return fd;
  if (fstatfs(fd, &fs) < 0 || fs.f_type != DEVPTS_SUPER_MAGIC || fstat(fd, &info) < 0 || !S_ISCHR(info.st_mode) ||
      info.st_rdev != makedev(5, 2))
    return -EXDEV;
  return take_fd(&fd);
}

static int bind_console(int root, int slave) {
  _cleanup_close_ int tree = (int)syscall(SYS_open_tree, slave, "", AT_EMPTY_PATH | 1 | O_CLOEXEC);
  if (tree < 0) return -errno;
  _cleanup_close_ int target = open_in_root(root, "/dev/console", O_PATH | O_NOFOLLOW);
  if (target < 0) return target;
  return syscall(SYS_move_mount, tree, "", target, "", 0x44) < 0 ? -errno : 0;
}

// console(root slot, columns, rows, uid, bind on /dev/console, errnos of chown to ignore...): a terminal becomes
// descriptors 0 to 2 and the controlling terminal; its master goes to the parent over the sync socket.
int op_console(struct state *st, const struct arg *args, int argc) {
  int root = slot_get(st, NUM(0)), unlocked = 0, result;
  _cleanup_close_ int master = open_ptmx(root);
  if (master < 0) return master;
  if (ioctl(master, TIOCSPTLCK, &unlocked) < 0) return -errno;
  int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (slave < 0) return -errno;
  // As one of descriptors 0 to 2 it has to stay open.
  _cleanup_close_ int spare = slave > 2 ? slave : -1;
  struct winsize size = {.ws_col = (unsigned short)NUM(1), .ws_row = (unsigned short)NUM(2)};
  if (size.ws_col) ioctl(master, TIOCSWINSZ, &size);
  if (fchown(slave, (uid_t)NUM(3), (gid_t)-1) < 0 && !is_listed(-errno, args, 5, argc)) return -errno;
  if (NUM(4) && (result = bind_console(root, slave)) < 0) return result;
  if ((result = send_descriptor(st->sync, master, "c")) < 0) return result;
  if (ioctl(slave, TIOCSCTTY, 0) < 0 || dup2(slave, 0) < 0 || dup2(slave, 1) < 0 || dup2(slave, 2) < 0) return -errno;
  return 0;
}

// send_console(socket slot): passes the master from the child to the caller's --console-socket.
int op_send_console(struct state *st, const struct arg *args, int argc) {
  int socket = slot_get(st, NUM(0));
  _cleanup_close_ int master = -1;
  char byte;
  if (socket < 0) return socket;
  int n = receive_descriptor(st->sync, &master, &byte, 1);
  if (n <= 0 || master < 0) return n < 0 ? n : 0;  // the child failed and has reported why
  return send_descriptor(socket, master, "/dev/ptmx");
}
