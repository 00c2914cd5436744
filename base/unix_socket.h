/*
 * unix_socket: stream sockets at a path of any length.
 *
 * The system's address has room for 107 bytes; a longer path is reached
 * through a descriptor of its directory.  All return a descriptor, or a
 * negative errno value.
 */
#ifndef BASE_UNIX_SOCKET_H
#define BASE_UNIX_SOCKET_H

/* Non-blocking, mode 0600; replaces what is at path. */
int unix_socket_listen(const char *path, int backlog);

/* Blocking. */
int unix_socket_connect(const char *path);

#endif
