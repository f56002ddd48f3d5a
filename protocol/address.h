/*
 * address.h - the text of a SOURCE, taken apart.
 *
 *   [NAME=]firecracker:PATH[:PORT]
 *   [NAME=]vsock:CID[:PORT][,bridge=PATH]
 *   [NAME=]unix:PATH
 *   [NAME=]local:DIR
 *
 * NAME is [A-Za-z0-9][A-Za-z0-9._-]{0,63} and none of ctl, status, metrics, version, error, which
 * are files of the mount.  PORT is 1..4294967294, default 5005.  CID is 1..4294967294 without 0, 2
 * and the wildcard.  Numbers are decimal, without sign or trailing characters.
 */
#ifndef VSOCKFS_ADDRESS_H
#define VSOCKFS_ADDRESS_H

#include <limits.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/error.h"
#include "protocol/limits.h"

#define ADDRESS_PORT 5005u

enum address_kind {
	ADDRESS_FIRECRACKER,
	ADDRESS_VSOCK,
	ADDRESS_UNIX,
	ADDRESS_LOCAL,
};

struct address {
	enum address_kind kind;
	char name[LIMIT_ENTITY_NAME + 1]; /* "" where the text gave none */
	char path[PATH_MAX];              /* socket, bridge socket or directory; "" for none */
	uint32_t cid;
	uint32_t port;
};

/* Parses TEXT.  -EINVAL with a sentence that quotes the wrong part. */
int address_parse(const char *text, struct address *out, struct error *err);

/* Whether NAME may name a guest. */
int address_check_name(const char *name, struct error *err);

/* The text that would give this address again, without the name. */
void address_format(const struct address *address, char *text, size_t size);

#endif
