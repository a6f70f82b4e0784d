// A seccomp agent for tests: takes one listener over a unix socket, prints the state that came with it, and answers every
// notification with ENOMEDIUM until the filter's last process has gone.
#include <errno.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int main(int argc, char **argv) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  static char text[65536];
  if (argc != 2 || strlen(argv[1]) >= sizeof address.sun_path) return 2;
  strcpy(address.sun_path, argv[1]);
  int server = socket(AF_UNIX, SOCK_STREAM, 0);
  if (bind(server, (struct sockaddr *)&address, sizeof address) < 0 || listen(server, 1) < 0) return 3;
  puts("ready");
  fflush(stdout);
  int client = accept(server, NULL, NULL), listener = -1;
  union {
    struct cmsghdr head;
    char room[CMSG_SPACE(sizeof(int))];
  } control;
  struct iovec part = {text, sizeof text - 1};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof control.room};
  if (recvmsg(client, &message, 0) <= 0 || !CMSG_FIRSTHDR(&message)) return 4;
  memcpy(&listener, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof listener);
  puts(text);
  fflush(stdout);
  for (;;) {
    struct pollfd wait = {listener, POLLIN, 0};
    if (poll(&wait, 1, 10000) <= 0 || !(wait.revents & POLLIN)) return 0;
    struct seccomp_notif request;
    memset(&request, 0, sizeof request);
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &request) < 0) continue;
    struct seccomp_notif_resp answer = {.id = request.id, .error = -ENOMEDIUM};
    ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
  }
}
