/*
 * ballast: a preallocated file that gives a full disk some room back.
 *
 * LMDB needs free pages even to delete.  Released when the disk turns out to
 * be full, so that removals can commit; new mail is refused until it could be
 * made again.  For this folder only.
 */
#ifndef STORE_BALLAST_H
#define STORE_BALLAST_H

#include <stdbool.h>
#include <stdint.h>

struct ballast {
	int dir_fd; /* borrowed */
	uint64_t bytes;
	bool held; /* the space is reserved */
};

/* True when the file is there in full size, now or already. */
bool ballast_make(struct ballast *b);
void ballast_release(struct ballast *b);

/* Whether the file system has less free than the ballast would take. */
bool ballast_disk_full(const struct ballast *b);

#endif
