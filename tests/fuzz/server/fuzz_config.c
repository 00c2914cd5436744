/*
 * Any bytes as a configuration file.  Checked: it is refused, or what came of
 * it keeps the limits that the rest of the server relies on.
 */
#include "reference-server/config.h"
#include "tests/fuzz/fuzz.h"

#include <assert.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
static int file = -1;
static char path[64];

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	file = memfd_create("config", MFD_CLOEXEC);
	assert(file >= 0);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	stderr = fopen("/dev/null", "w"); /* where mistakes are told, of which there are millions here */
	assert(stderr != NULL);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int rc = ftruncate(file, 0);
	assert(rc == 0 && pwrite(file, data, size, 0) == (ssize_t)size);
	struct config *c = config_load(path);
	if (c == NULL)
		return 0;
	assert(c->data_dir != NULL && c->hostname != NULL);
	assert(c->auth_iterations >= 4096 && c->auth_failure_count_max > 0);
	for (uint32_t i = 0; i < c->alias_count; i++)
		assert(c->aliases[i].from != NULL && c->aliases[i].to_count > 0);
	config_free(c);
	return 0;
}
