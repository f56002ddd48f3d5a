/*
 * session.c - mount, serve, end in order.
 *
 * The order of the end matters: notifications stop while requests are still
 * answered (one of them may be waiting for an answer in the kernel); then no request is
 * taken; then what is under way is let finish, and if that takes long, cancelled; then
 * open files are closed and the guests synced; only then does the mount go.
 */
#include "fs/session.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/host.h"
#include "fs/log.h"
#include "fs/loop.h"
#include "fs/ops.h"
#include "protocol/buf.h"
#include "protocol/cleanup.h"

#define GRACE_SECONDS 1.0
#define ARGUMENT_BYTES 8192

struct session {
	const struct options *options;
	struct ops_env env;
	struct host host;
	struct cancel cancel;
	struct fuse_session *fuse;
	bool mounted;
	pthread_t signals;
	bool signals_started;
	pthread_mutex_t lock;
	struct loop *loop; /* lock: the signal thread stops it */
	bool ending;       /* lock: a signal came */
};

static void ending_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGHUP);
	sigaddset(set, SIGUSR1); /* from session_free to the thread */
}

static void *signal_thread(void *arg)
{
	struct session *session = arg;
	sigset_t set;
	int number;

	ending_signals(&set);
	while (!sigwait(&set, &number) && number != SIGUSR1) {
		log_message(LOG_INFO, "ending: %s", strsignal(number));
		cancel_fire(&session->cancel);
		pthread_mutex_lock(&session->lock);
		session->ending = true;
		if (session->loop)
			loop_stop(session->loop);
		pthread_mutex_unlock(&session->lock);
	}
	return NULL;
}

/* Blocks the signals here, and so in every thread that is made later, and starts who takes them. */
static int start_signals(struct session *session)
{
	sigset_t set;
	int rc;

	signal(SIGPIPE, SIG_IGN);
	ending_signals(&set);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	rc = pthread_create(&session->signals, NULL, signal_thread, session);
	session->signals_started = !rc;
	return -rc;
}

int session_new(const struct options *options, struct session **out, struct error *err)
{
	struct session *session = calloc(1, sizeof(*session));
	int rc;

	if (!session)
		return error_set(err, ENOMEM, "out of memory");
	session->options = options;
	session->env.timeout = options->timeout;
	cancel_init(&session->cancel);
	pthread_mutex_init(&session->lock, NULL);
	handle_set_init(&session->env.handles);
	rc = notify_new(&session->env.notify);
	host_init(&session->host, options, session->env.notify);
	if (!rc)
		rc = requests_new(options->timeout, &session->env.requests);
	if (!rc)
		rc = start_signals(session);
	if (rc) {
		session_free(session); /* no session_drain: nothing was begun */
		return error_set(err, -rc, "cannot start: %s", strerror(-rc));
	}
	*out = session;
	return 0;
}

const struct vn_host *session_host(struct session *session)
{
	return &session->host.api;
}

struct cancel *session_cancel(struct session *session)
{
	return &session->cancel;
}

/* libfuse splits the list at commas and takes backslashes away. */
static void add_escaped(struct buf *buf, const char *text)
{
	for (; *text; text++) {
		if (*text == ',' || *text == '\\')
			buf_adds(buf, "\\");
		buf_add(buf, text, 1);
	}
}

static int make_fuse(struct session *session, struct error *err)
{
	const struct options *options = session->options;
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	autobuf struct buf list = BUF_INIT(ARGUMENT_BYTES);

	buf_adds(&list, "subtype=vsockfs,nosuid,nodev,fsname=");
	add_escaped(&list, options->fsname);
	buf_adds(&list, options->read_only ? ",ro" : "");
	buf_adds(&list, options->no_exec ? ",noexec" : "");
	buf_adds(&list, options->no_atime ? ",noatime" : "");
	buf_adds(&list, options->allow_other ? ",allow_other" : "");
	buf_adds(&list, options->allow_root ? ",allow_root" : "");
	buf_adds(&list, options->default_permissions ? ",default_permissions" : "");
	if (list.overflow)
		return error_set(err, EINVAL, "the options are too long");
	if (!fuse_opt_add_arg(&args, "vsockfs") && !fuse_opt_add_arg(&args, "-o") &&
	    !fuse_opt_add_arg(&args, buf_str(&list)) &&
	    (!options->debug || !fuse_opt_add_arg(&args, "-d")))
		session->fuse = fuse_session_new(&args, &ops_table, sizeof(ops_table),
						 &session->env);
	fuse_opt_free_args(&args);
	if (!session->fuse)
		return error_set(err, EINVAL, "libfuse refused the options %s", buf_str(&list));
	return 0;
}

/* Threads and the first worker: from here on requests are answered. */
static int start_serving(struct session *session)
{
	int rc = requests_start(session->env.requests);

	if (!rc)
		rc = notify_start(session->env.notify, session->fuse);
	pthread_mutex_lock(&session->lock);
	if (!rc)
		rc = loop_new(session->fuse, &session->loop);
	if (!rc)
		rc = loop_start(session->loop);
	if (!rc && session->ending)
		loop_stop(session->loop);
	pthread_mutex_unlock(&session->lock);
	return rc;
}

int session_mount(struct session *session, struct vnode *root, const char *mountpoint,
		  struct error *err)
{
	int rc = node_table_new(root, &session->env.nodes);

	if (rc)
		return error_set(err, -rc, "out of memory");
	session->host.nodes = session->env.nodes;
	rc = make_fuse(session, err);
	if (rc)
		return rc;
	errno = 0;
	if (fuse_session_mount(session->fuse, mountpoint))
		return error_set(
			err, errno ? errno : EIO,
			"cannot mount on %s; is /dev/fuse there and may you mount? (As a "
			"plain user: fusermount3 of the package fuse3, and user_allow_other "
			"in /etc/fuse.conf for -o allow_other)",
			mountpoint);
	session->mounted = true;
	rc = start_serving(session);
	if (rc)
		return error_set(err, -rc, "cannot start threads: %s", strerror(-rc));
	return 0;
}

void session_wait(struct session *session)
{
	loop_wait(session->loop);
	notify_stop(session->env.notify);
	loop_stop(session->loop);
}

/* Closes what is open, brings everything to the guests, unmounts, forgets what the kernel knew. */
static void let_go(struct session *session)
{
	struct node_table *nodes = move_ptr(session->env.nodes);

	handle_set_close(&session->env.handles, session->options->timeout);
	mirror_set_sync(&session->host.mirrors, session->options->timeout);
	if (session->mounted)
		fuse_session_unmount(session->fuse);
	session->mounted = false;
	session->host.nodes = NULL;
	node_table_free(nodes);
}

void session_drain(struct session *session)
{
	notify_stop(session->env.notify);
	if (session->loop) {
		loop_stop(session->loop);
		if (!loop_join(session->loop, GRACE_SECONDS))
			requests_cancel_all(session->env.requests);
		/* Everything that waits has a deadline, and knows now that it is not waited for. */
		while (!loop_join(session->loop, session->options->timeout))
			log_message(LOG_WARNING, "requests are still under way");
		requests_cancel_all(session->env.requests); /* parked ones that nobody has ended */
	}
	requests_stop(session->env.requests);
	let_go(session);
}

void session_free(struct session *session)
{
	if (!session)
		return;
	if (session->fuse)
		fuse_session_destroy(session->fuse);
	if (session->signals_started) {
		pthread_kill(session->signals, SIGUSR1);
		pthread_join(session->signals, NULL);
	}
	loop_free(session->loop);
	notify_free(session->env.notify);
	requests_free(session->env.requests);
	host_destroy(&session->host);
	pthread_mutex_destroy(&session->lock);
	cancel_destroy(&session->cancel);
	free(session);
}
