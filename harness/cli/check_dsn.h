/*
 * check-dsn: whether a file is a delivery status notification as RFC 3464 and
 * RFC 6522 have it.
 */
#ifndef HARNESS_CLI_CHECK_DSN_H
#define HARNESS_CLI_CHECK_DSN_H

int cli_check_dsn(int argc, char **argv);

#endif
