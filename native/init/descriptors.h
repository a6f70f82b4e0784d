// Descriptors sent over unix sockets.
#pragma once

// Sends one descriptor with the given text; 0 or a negated errno.
int send_descriptor(int socket, int fd, const char *text);
// Receives a descriptor in *fd (-1: none came) and up to `size` bytes; the number of bytes or a negated errno.
int receive_descriptor(int socket, int *fd, void *data, unsigned size);
