/*
 * main.c - the program vsockfs: the one place that knows both rooms.
 */
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ctl/ctl.h"
#include "fs/daemon.h"
#include "fs/log.h"
#include "fs/lowlevel.h"
#include "fs/mountpoint.h"
#include "fs/options.h"
#include "fs/session.h"
#include "protocol/cleanup.h"
#include "protocol/tempfile.h"

/*
 * Replies are large and short-lived, and read by many threads: each of them would keep what it
 * has freed.  A block of this size or more goes back to the kernel at once.
 */
#define RETURNED_BYTES (128 << 10)

/* Everybody answers or nothing is mounted. */
static int attach_all(struct ctl *ctl, struct session *session, const struct options *options,
		      struct error *err)
{
	for (size_t i = 0; i < options->source_count; i++) {
		struct call call = call_within(options->timeout, session_cancel(session));
		int rc = ctl_attach(ctl, &call, &options->sources[i], err);

		if (rc)
			return error_wrap(err, rc, "%s", options->sources[i].name);
	}
	return 0;
}

/* What libfuse and fusermount3 say of a mount that fails becomes part of the one line. */
static int mount_tree(struct ctl *ctl, struct session *session, const char *mountpoint, bool debug,
		      struct error *err)
{
	struct vnode *root = ctl_root(ctl);
	struct daemon_catch caught;
	char cause[512] = "";
	int rc;

	if (!debug)
		daemon_catch_errors(&caught);
	rc = session_mount(session, root, mountpoint, err);
	if (!debug)
		daemon_caught_errors(&caught, cause, sizeof(cause));
	vn_unref(root);
	if (rc && *cause)
		return error_set(err, -rc, "cannot mount on %s: %s%s", mountpoint, cause,
				 strstr(cause, "/dev/fuse: Permission denied") ?
					 "; it takes, once, as root: chmod 666 /dev/fuse" :
					 "");
	return rc;
}

/* Serves until the end; whatever happens, nothing stays behind. */
static int serve(const struct options *options, const char *mountpoint, struct daemon *daemon)
{
	struct session *session = NULL;
	struct ctl *ctl = NULL;
	struct error err = { 0 };
	int rc = session_new(options, &session, &err);

	if (!rc)
		rc = ctl_new(session_host(session), &ctl, &err);
	if (!rc)
		rc = attach_all(ctl, session, options, &err);
	if (!rc)
		rc = mount_tree(ctl, session, mountpoint, options->debug, &err);
	if (rc)
		daemon_failed(daemon, &err); /* now: the rest may take as long as a guest does */
	else if (!daemon_ready(daemon))
		session_wait(session);
	if (ctl) {
		struct call call = call_within(options->timeout, NULL);

		ctl_shutdown(ctl, &call);
	}
	if (session)
		session_drain(session);
	if (ctl)
		ctl_free(ctl);
	session_free(session);
	return rc ? 1 : 0;
}

/* A mount that is only read, or whose guests need none, is good without: a warning. */
static void check_tempfiles(void)
{
	struct error err = { 0 };
	autoclose int fd = tempfile_open(&err);

	if (fd < 0)
		log_message(LOG_WARNING, "%s; without, writes may fail", err.text);
}

static int run(const struct options *options, struct error *err)
{
	autofree char *mountpoint = NULL;
	struct daemon daemon;
	int rc;

	/* The cheap answers first, while there is a terminal to give them to. */
	check_tempfiles();
	rc = mountpoint_check(options->mountpoint, options->nonempty, &mountpoint, err);
	if (!rc)
		rc = daemon_start(&daemon, options->foreground, err);
	if (rc)
		return rc;
	log_open(options->foreground);
	return serve(options, mountpoint, &daemon);
}

int main(int argc, char *argv[])
{
	struct options options;
	struct error err = { 0 };
	int rc = options_parse(argc, argv, &options, &err);

	mallopt(M_MMAP_THRESHOLD, RETURNED_BYTES);
	if (!rc && options.action == OPTIONS_HELP) {
		fputs(options_help, stdout);
	} else if (!rc && options.action == OPTIONS_VERSION) {
		printf("vsockfs %s\nFUSE library %s\n", VSOCKFS_VERSION, fuse_pkgversion());
	} else if (!rc) {
		rc = run(&options, &err);
	}
	if (rc < 0)
		fprintf(stderr, "vsockfs: %s\n", err.text);
	options_free(&options);
	return rc ? 1 : 0;
}
