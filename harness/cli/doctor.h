/*
 * doctor: `postrider doctor`.
 */
#ifndef HARNESS_CLI_DOCTOR_H
#define HARNESS_CLI_DOCTOR_H

int cli_doctor(int argc, char **argv);

#endif
