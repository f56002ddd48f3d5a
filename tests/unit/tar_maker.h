/*
 * tar_maker.h - archives for tests, also those that no decent program makes.
 *
 * Headers are written by hand, so that a name may be anything.
 */
#ifndef TAR_MAKER_H
#define TAR_MAKER_H

#include <stddef.h>

#include "protocol/buf.h"

/*
 * Adds a member: TYPE as in ustar ('0' file, '1' hard link, '2' symbolic link, '3' device,
 * '5' directory, '6' FIFO), TARGET for links, TEXT for files.  Names over 99 bytes go into a
 * pax header.
 */
void tar_add(struct buf *tar, char type, const char *name, const char *target, const char *text,
	     unsigned mode);
/* A pax record in front of the next member. */
void tar_add_pax(struct buf *tar, const char *key, const char *value);
void tar_finish(struct buf *tar);

#endif
