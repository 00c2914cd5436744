/*
 * postrider list --requirements: the catalogue, what of it is asked for, with
 * the cases that judge each requirement.
 */
#ifndef HARNESS_CLI_LIST_REQUIREMENTS_H
#define HARNESS_CLI_LIST_REQUIREMENTS_H

#include <stdbool.h>
#include <stdint.h>

enum { LIST_ANY = 1000 }; /* no index of a choice */

struct list_filter {
	uint32_t rfc;        /* 0: any */
	const char *section; /* with all below it; NULL: any */
	uint32_t level;      /* enum requirement_level; LIST_ANY */
	uint32_t bound;      /* index in REQUIREMENT_BOUND; LIST_ANY */
	bool gaps;           /* only what is testable and has no case */
};

/* An exit code: 0, 2 after mistakes in catalogue or cases, which are printed, or when nothing fits. */
int list_requirements(const struct list_filter *f);

#endif
