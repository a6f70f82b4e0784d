// Network devices: loopback, and rtnetlink(7) requests that packages/runtime composes.
#include <linux/netlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include "cleanup.h"
#include "operations.h"

// loopback(): brings up "lo" in a new network namespace.
int op_loopback(struct state *st, const struct arg *args, int argc) {
  _cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
  return ioctl(fd, SIOCSIFFLAGS, &request) < 0 ? -errno : 0;
}

// netlink(offset, request): sends one message and waits for its acknowledgement. At the offset, unless it is -1, the new
// process's pid is filled in (IFLA_NET_NS_PID, not known before).
int op_netlink(struct state *st, const struct arg *args, int argc) {
  char message[4096];
  if (args[1].length < sizeof(struct nlmsghdr) || args[1].length > sizeof message) return -EMSGSIZE;
  memcpy(message, args[1].bytes, args[1].length);
  uint32_t pid = (uint32_t)st->child;
  if (NUM(0) >= 0) {
    if ((uint64_t)NUM(0) + sizeof pid > args[1].length) return -EINVAL;
    memcpy(message + NUM(0), &pid, sizeof pid);
  }
  _cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (fd < 0) return -errno;
  struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
  ssize_t n = sendto(fd, message, args[1].length, 0, (struct sockaddr *)&kernel, sizeof kernel);
  if (n >= 0) n = recv(fd, message, sizeof message, 0);
  int result = n < 0 ? -errno : -EPROTO;
  const struct nlmsghdr *head = (const struct nlmsghdr *)(const void *)message;
  if (n >= (ssize_t)(sizeof *head + sizeof(int)) && head->nlmsg_type == NLMSG_ERROR)
    memcpy(&result, message + sizeof *head, sizeof result);
  return result;
}
