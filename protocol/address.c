/*
 * address.c - takes a SOURCE apart and puts it together again.
 */
#include "protocol/address.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define CID_HYPERVISOR 0u
#define CID_HOST 2u
#define NUMBER_MAX 4294967294u /* 2^32-1 is the wildcard, of CIDs and of ports */
#define BRIDGE_KEY "bridge="

static const char usage[] = "it is [NAME=]firecracker:PATH[:PORT], "
			    "[NAME=]vsock:CID[:PORT][,bridge=PATH], [NAME=]unix:PATH "
			    "or [NAME=]local:DIR";

int address_check_name(const char *name, struct error *err)
{
	static const char *const taken[] = { "ctl", "status", "metrics", "version", "error" };
	size_t len = strlen(name);
	bool good = len >= 1 && len <= LIMIT_ENTITY_NAME && isalnum((unsigned char)name[0]);

	for (size_t i = 0; good && i < len; i++)
		good = isalnum((unsigned char)name[i]) || strchr("._-", name[i]);
	if (!good)
		return error_set(err, EINVAL,
				 "'%s' cannot name a guest: up to %d letters, digits, '.', '_' "
				 "and '-', a letter or digit first",
				 name, LIMIT_ENTITY_NAME);
	for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++)
		if (strcmp(name, taken[i]) == 0)
			return error_set(
				err, EINVAL,
				"'%s' cannot name a guest: the mount has a file of that name",
				name);
	return 0;
}

/* LEN decimal digits and nothing else, 1..NUMBER_MAX. */
static bool parse_number(const char *text, size_t len, uint32_t *out)
{
	uint64_t value = 0;

	if (len < 1 || len > 10)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		value = value * 10 + (uint64_t)(text[i] - '0');
	}
	if (value < 1 || value > NUMBER_MAX)
		return false;
	*out = (uint32_t)value;
	return true;
}

static int parse_port(const char *text, size_t len, uint32_t *out, struct error *err)
{
	if (!parse_number(text, len, out))
		return error_set(err, EINVAL, "'%.*s' is no port: a number from 1 to %u", (int)len,
				 text, NUMBER_MAX);
	return 0;
}

static int parse_path(const char *text, size_t len, const char *what, char *out, struct error *err)
{
	if (!len)
		return error_set(err, EINVAL, "the path of the %s is missing: %s", what, usage);
	if (len >= PATH_MAX)
		return error_set(err, EINVAL, "the path of the %s is over %d bytes", what,
				 PATH_MAX - 1);
	memcpy(out, text, len);
	out[len] = '\0';
	return 0;
}

/*
 * PATH[:PORT].  What follows the last colon is a port unless it has a slash, so
 * that a mistyped port is not taken for a file name; a path that ends in a colon and
 * digits is written with its port.
 */
static int parse_firecracker(const char *text, struct address *out, struct error *err)
{
	const char *colon = strrchr(text, ':');
	size_t len = strlen(text);

	if (colon && !strchr(colon, '/')) {
		int rc = parse_port(colon + 1, strlen(colon + 1), &out->port, err);

		if (rc < 0)
			return rc;
		len = (size_t)(colon - text);
	}
	return parse_path(text, len, "socket", out->path, err);
}

/* CID[:PORT][,bridge=PATH] */
static int parse_vsock(const char *text, struct address *out, struct error *err)
{
	size_t len = strcspn(text, ":,");

	if (!parse_number(text, len, &out->cid) || out->cid == CID_HYPERVISOR ||
	    out->cid == CID_HOST)
		return error_set(err, EINVAL,
				 "'%.*s' is no guest's CID: a number from 3 to %u, or 1 for "
				 "this machine itself",
				 (int)len, text, NUMBER_MAX);
	text += len;
	if (*text == ':') {
		len = strcspn(++text, ",");

		int rc = parse_port(text, len, &out->port, err);

		if (rc < 0)
			return rc;
		text += len;
	}
	if (*text == '\0')
		return 0;
	text++; /* the comma */
	if (strncmp(text, BRIDGE_KEY, strlen(BRIDGE_KEY)) != 0)
		return error_set(err, EINVAL, "'%s' is no option of vsock: only bridge=PATH is",
				 text);
	text += strlen(BRIDGE_KEY);
	return parse_path(text, strlen(text), "bridge", out->path, err);
}

static const struct {
	const char *scheme;
	enum address_kind kind;
} schemes[] = {
	{ "firecracker", ADDRESS_FIRECRACKER },
	{ "vsock", ADDRESS_VSOCK },
	{ "unix", ADDRESS_UNIX },
	{ "local", ADDRESS_LOCAL },
};

static int parse_scheme(const char *text, struct address *out, struct error *err)
{
	size_t len = strcspn(text, ":");

	if (text[len] == ':')
		for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++)
			if (strlen(schemes[i].scheme) == len &&
			    strncmp(text, schemes[i].scheme, len) == 0) {
				out->kind = schemes[i].kind;
				return 0;
			}
	return error_set(err, EINVAL, "'%s' is no address: %s", text, usage);
}

/* NAME=, where the '=' comes before the scheme's colon. */
static int parse_name(const char **text, struct address *out, struct error *err)
{
	size_t len = strcspn(*text, "=:");

	if ((*text)[len] != '=')
		return 0;

	char name[LIMIT_ENTITY_NAME + 2]; /* one more than fits, so that a long one is refused */
	size_t kept = len < sizeof(name) - 1 ? len : sizeof(name) - 1;

	memcpy(name, *text, kept);
	name[kept] = '\0';

	int rc = address_check_name(name, err);

	if (rc < 0)
		return rc;
	memcpy(out->name, name, len + 1);
	*text += len + 1;
	return 0;
}

int address_parse(const char *text, struct address *out, struct error *err)
{
	struct address address = { .port = ADDRESS_PORT };
	int rc = parse_name(&text, &address, err);

	if (rc == 0)
		rc = parse_scheme(text, &address, err);
	if (rc < 0)
		return rc;

	const char *rest = strchr(text, ':') + 1;

	switch (address.kind) {
	case ADDRESS_FIRECRACKER:
		rc = parse_firecracker(rest, &address, err);
		break;
	case ADDRESS_VSOCK:
		rc = parse_vsock(rest, &address, err);
		break;
	case ADDRESS_UNIX:
		rc = parse_path(rest, strlen(rest), "socket", address.path, err);
		break;
	case ADDRESS_LOCAL:
		rc = parse_path(rest, strlen(rest), "directory", address.path, err);
		break;
	}
	if (rc < 0)
		return rc;
	*out = address;
	return 0;
}

void address_format(const struct address *address, char *text, size_t size)
{
	const char *colon = strrchr(address->path, ':');
	char port[16] = "";

	if (address->port != ADDRESS_PORT ||
	    (address->kind == ADDRESS_FIRECRACKER && colon && !strchr(colon, '/')))
		snprintf(port, sizeof(port), ":%u", address->port);
	switch (address->kind) {
	case ADDRESS_FIRECRACKER:
		snprintf(text, size, "firecracker:%s%s", address->path, port);
		break;
	case ADDRESS_VSOCK:
		snprintf(text, size, "vsock:%u%s%s%s", address->cid, port,
			 address->path[0] ? "," BRIDGE_KEY : "", address->path);
		break;
	case ADDRESS_UNIX:
		snprintf(text, size, "unix:%s", address->path);
		break;
	case ADDRESS_LOCAL:
		snprintf(text, size, "local:%s", address->path);
		break;
	}
}
