/* archive_fixture.h - a directory to extract into, and the archive that goes there. */
#ifndef ARCHIVE_FIXTURE_H
#define ARCHIVE_FIXTURE_H

#include <sys/stat.h>
#include <sys/types.h>

#include "protocol/archive.h"
#include "protocol/buf.h"
#include "tar_maker.h"

/* DIR has root, to extract into, and victim, which nothing may touch. */
struct place_fixture {
	char dir[64];
	int root, outside;
	struct buf tar;
	size_t given; /* of tar */
	struct budget room;
	struct archive_counts counts;
	struct error err;
};

int place_setup(void **state);
int place_teardown(void **state);

/* An archive_read_fn: odd pieces of the tar, as a socket gives them. */
ssize_t place_give(void *fixture, void *bytes, size_t len);

/* Finishes the tar and extracts it. */
int place_extract(struct place_fixture *f);
/* Extracts, asserts -EPERM and that the sentence has NAME and WHY; empties the tar. */
void place_expect_refused(struct place_fixture *f, const char *name, const char *why);
void place_expect_text(struct place_fixture *f, const char *path, const char *text);
struct stat place_look(struct place_fixture *f, const char *path);

#endif
