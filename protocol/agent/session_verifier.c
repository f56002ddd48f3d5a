/* session_verifier.c - see session_verifier.h. */
#include "protocol/agent/session_verifier.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "protocol/cleanup.h"
#include "protocol/token.h"

#define INSTANCE_DIGITS 32
#define BOOT_ID "/proc/sys/kernel/random/boot_id"

static void read_boot_id(char out[static SESS_ID_SIZE])
{
	autoclose int fd = open(BOOT_ID, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, out, SESS_ID_SIZE - 1);

	out[n > 0 ? n : 0] = '\0';
	out[strspn(out, "0123456789abcdef-")] = '\0';
}

int sess_verifier_init(struct sess_verifier *verifier)
{
	if (token_make(verifier->instance, INSTANCE_DIGITS) < 0)
		return -EIO;
	read_boot_id(verifier->boot_id);
	atomic_init(&verifier->failures, 0);
	return 0;
}

void sess_verifier_fail(struct sess_verifier *verifier)
{
	atomic_fetch_add(&verifier->failures, 1);
}

void sess_verifier_get(const struct sess_verifier *verifier, char out[static SESS_VERIFIER_SIZE])
{
	unsigned failures = atomic_load(&verifier->failures);

	/*
	 * What another agent of the same guest counts is not known here, nor, without a boot id,
	 * which guest it was in.
	 */
	if (verifier->boot_id[0] && !failures)
		snprintf(out, SESS_VERIFIER_SIZE, "%s", verifier->boot_id);
	else
		snprintf(out, SESS_VERIFIER_SIZE, "%s.%s.%u", verifier->boot_id, verifier->instance,
			 failures);
}
