/* service_log.h - the end of a service's output, as much of it as a reply can carry. */
#ifndef VSOCKFS_AGENT_SERVICE_LOG_H
#define VSOCKFS_AGENT_SERVICE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/buf.h"

/*
 * Reads the last TAIL_LINES lines (0: all) of the file NAME in DIR, but no more than fits into
 * half a reply once it is escaped.  *TRUNCATED: something in front is left out.  A file that
 * is not there is empty.  0 or a negative errno.
 */
int service_log_read(int dir, const char *name, int64_t tail_lines, struct buf *out,
		     bool *truncated);

#endif
