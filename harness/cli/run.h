/*
 * postrider run FLOW…: carries out flows one after the other and judges them.
 *
 * All flow files are read before anything is started.  Exit codes: 0 every
 * promise was kept, 1 one was broken, 2 usage or a mistake in a flow, 3 a run
 * was not valid or judged nothing, 4 the harness failed, 130 interrupted.
 */
#ifndef HARNESS_CLI_RUN_H
#define HARNESS_CLI_RUN_H

int cli_run(int argc, char **argv);

#endif
