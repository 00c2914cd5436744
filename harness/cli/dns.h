/*
 * postrider dns: serves a zone file until it is stopped, for tests by hand.
 */
#ifndef HARNESS_CLI_DNS_H
#define HARNESS_CLI_DNS_H

int cli_dns(int argc, char **argv);

#endif
