// The container's terminal: made inside its own devpts, its master handed to whoever relays it.
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <termios.h>
#include <unistd.h>
#include "files.h"
#include "operations.h"

#ifndef DEVPTS_SUPER_MAGIC
#define DEVPTS_SUPER_MAGIC 0x1cd1
#endif
#ifndef TIOCGPTPEER
#define TIOCGPTPEER _IO('T', 0x41)
#endif

int send_descriptor(int socket, int fd, const char *text) {
  struct iovec part = {(void *)(uintptr_t)text, strlen(text)};
  union {
    struct cmsghdr head;
    char room[CMSG_SPACE(sizeof(int))];
  } control = {0};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof control.room};
  struct cmsghdr *head = CMSG_FIRSTHDR(&message);
  head->cmsg_level = SOL_SOCKET;
  head->cmsg_type = SCM_RIGHTS;
  head->cmsg_len = CMSG_LEN(sizeof fd);
  memcpy(CMSG_DATA(head), &fd, sizeof fd);
  return sendmsg(socket, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int receive_descriptor(int socket, int *fd, void *data, unsigned size) {
  struct iovec part = {data, size};
  union {
    struct cmsghdr head;
    char room[CMSG_SPACE(sizeof(int))];
  } control = {0};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof control.room};
  *fd = -1;
  ssize_t n;
  while ((n = recvmsg(socket, &message, MSG_CMSG_CLOEXEC)) < 0 && errno == EINTR) continue;
  if (n < 0) return -errno;
  struct cmsghdr *head = CMSG_FIRSTHDR(&message);
  if (head && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS) memcpy(fd, CMSG_DATA(head), sizeof *fd);
  return (int)n;
}

// Opens the ptmx of the container's devpts; a fake one, put there by the image, is refused.
static int open_ptmx(int root) {
  struct statfs fs;
  struct stat info;
  int fd = open_in_root(root, "/dev/pts/ptmx", O_RDWR | O_NOCTTY);
  if (fd < 0) return fd;
  if (fstatfs(fd, &fs) < 0 || fs.f_type != DEVPTS_SUPER_MAGIC || fstat(fd, &info) < 0 || !S_ISCHR(info.st_mode) ||
      info.st_rdev != makedev(5, 2)) {
    close(fd);
    return -EXDEV;
  }
  return fd;
}

// console(root slot, columns, rows, uid, bind on /dev/console): a terminal becomes descriptors 0 to 2 and the
// controlling terminal; its master goes to the parent over the sync socket.
int op_console(struct state *st, const struct arg *args, int argc) {
  (void)argc;
  int root = slot_get(st, NUM(0));
  if (root < 0) return root;
  int master = open_ptmx(root);
  if (master < 0) return master;
  int unlocked = 0, result = 0, slave = -1;
  struct winsize size = {.ws_col = (unsigned short)NUM(1), .ws_row = (unsigned short)NUM(2)};
  if (ioctl(master, TIOCSPTLCK, &unlocked) < 0 || (slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC)) < 0) result = -errno;
  if (result == 0 && size.ws_col) ioctl(master, TIOCSWINSZ, &size);
  if (result == 0 && (fchown(slave, (uid_t)NUM(3), (gid_t)-1) < 0 && errno != EPERM && errno != EINVAL)) result = -errno;
  if (result == 0 && NUM(4)) {
    int tree = (int)syscall(SYS_open_tree, slave, "", AT_EMPTY_PATH | 1 | O_CLOEXEC);
    int target = open_in_root(root, "/dev/console", O_PATH | O_NOFOLLOW);
    if (tree < 0) result = -errno;
    else if (target < 0) result = target;
    else if (syscall(SYS_move_mount, tree, "", target, "", 0x44) < 0) result = -errno;
    if (tree >= 0) close(tree);
    if (target >= 0) close(target);
  }
  if (result == 0) result = send_descriptor(st->sync, master, "c");
  if (result == 0 && (ioctl(slave, TIOCSCTTY, 0) < 0 || dup2(slave, 0) < 0 || dup2(slave, 1) < 0 || dup2(slave, 2) < 0)) result = -errno;
  close(master);
  if (slave > 2) close(slave);
  return result;
}

// send_console(socket slot): takes the master from the child and passes it to the caller's --console-socket.
int op_send_console(struct state *st, const struct arg *args, int argc) {
  (void)argc;
  int socket = slot_get(st, NUM(0)), master;
  char byte;
  if (socket < 0) return socket;
  int n = receive_descriptor(st->sync, &master, &byte, 1);
  if (n <= 0 || master < 0) return n < 0 ? n : 0;  // the child failed and has said why
  int result = send_descriptor(socket, master, "/dev/ptmx");
  close(master);
  return result;
}
