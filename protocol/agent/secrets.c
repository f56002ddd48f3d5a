/*
 * secrets.c - files that only the agent's user may read, replaced as a whole.
 *
 * They are unpacked into a private directory beside the real one, which takes its
 * place in one step: nobody sees half of the old and half of the new.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/agent/actions.h"
#include "protocol/agent/rundir.h"
#include "protocol/agent/tree.h"
#include "protocol/archive.h"
#include "protocol/cleanup.h"

static int replace(int run, const char *fresh, struct error *err)
{
	int rc = renameat2(run, fresh, run, RUNDIR_SECRETS, RENAME_EXCHANGE);

	if (rc == 0)
		return tree_remove(run, fresh);
	/* There are none yet, or the file system cannot exchange. */
	if (errno != ENOENT) {
		rc = tree_remove(run, RUNDIR_SECRETS);
		if (rc < 0)
			return error_set(err, -rc, "cannot remove the old secrets: %s",
					 strerror(-rc));
	}
	if (renameat(run, fresh, run, RUNDIR_SECRETS) < 0)
		return error_set(err, errno, "cannot install the secrets: %s", strerror(errno));
	return 0;
}

static int unpack(struct request *request, int run, const char *fresh,
		  struct archive_counts *counts, struct error *err)
{
	autoclose int fd = openat(run, fresh, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int rc;

	if (fd < 0)
		return error_set(err, errno, "cannot make a directory for secrets: %s",
				 strerror(errno));
	rc = archive_extract(fd, request_payload, request, &request->agent->uploads, counts, err);
	if (rc < 0)
		return rc;
	rc = tree_make_private(fd);
	return rc < 0 ? error_set(err, -rc, "cannot make the secrets private: %s", strerror(-rc)) :
			0;
}

int action_install_secrets(struct request *request, struct reply *reply, struct error *err)
{
	autofree char *destination = NULL, *made = NULL;
	struct archive_counts counts = { 0 };
	autoclose int run = -1;
	const char *fresh;
	int rc = request_open_payload(request, err);

	if (rc < 0)
		return rc;
	if (asprintf(&destination, "%s/" RUNDIR_SECRETS, request->agent->run_dir) < 0 ||
	    asprintf(&made, "%s/." RUNDIR_SECRETS "-XXXXXX", request->agent->run_dir) < 0)
		return error_set(err, ENOMEM, "out of memory");
	run = open(request->agent->run_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (run < 0 || !mkdtemp(made))
		return error_set(err, errno, "cannot make a directory in %s: %s",
				 request->agent->run_dir, strerror(errno));
	fresh = strrchr(made, '/') + 1;
	rc = unpack(request, run, fresh, &counts, err);
	if (rc == 0)
		rc = replace(run, fresh, err);
	if (rc < 0) {
		tree_remove(run, fresh);
		return rc;
	}
	reply_text(reply, "destination", destination);
	reply_int(reply, "entry_count", counts.entries);
	reply_int(reply, "bytes_written", counts.bytes);
	return 0;
}
