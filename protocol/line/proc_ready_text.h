/*
 * proc_ready_text.h - what the probes of proc_ready.c are in sh.  Internal to it.
 */
#ifndef VSOCKFS_LINE_PROC_READY_TEXT_H
#define VSOCKFS_LINE_PROC_READY_TEXT_H

#include "protocol/buf.h"
#include "protocol/error.h"

/*
 * HOST:PORT, IPv4, a name, or IPv6 in brackets.  Where it is this machine, TEST
 * finds its listener in /proc/net; otherwise TEST stays empty and COMMAND connects.
 */
int proc_text_tcp(const char *address, struct buf *test, struct buf *command, struct buf *needs,
		  const char **tools, struct error *err);

/* http:// or https://; 2xx and 3xx are success. */
int proc_text_http(const char *url, struct buf *command, struct buf *needs, const char **tools,
		   struct error *err);

#endif
