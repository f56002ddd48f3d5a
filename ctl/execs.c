/*
 * execs.c - GUEST/exec: the commands that are shown.
 */
#include <stdlib.h>

#include "ctl/ctlfile.h"
#include "ctl/exec.h"
#include "ctl/guest.h"

static int make(struct object *dir, const char *name, struct object **out, struct error *err)
{
	struct exec *exec;
	int rc = exec_new(dir, name, &exec, err);

	if (rc == 0)
		*out = &exec->job.object;
	return rc;
}

static const struct member_ops members = { .make = make, .stop = exec_end };

static const struct file_type files[] = {
	{ .name = "clone", .mode = S_IFREG | 0600, .ops = &clone_ops },
};

static void free_execs(struct object *object)
{
	free(object);
}

static const struct object_type execs_type = {
	.what = "directory of commands",
	.files = files,
	.count = sizeof(files) / sizeof(files[0]),
	.members = &members,
	.free = free_execs,
};

int execs_new(struct ctl *ctl, struct cguest *guest, struct object **out)
{
	return job_collection(calloc(1, sizeof(struct object)), &execs_type, ctl, guest, "exec",
			      out);
}
