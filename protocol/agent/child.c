/* child.c - see child.h: the registry and the reaper. */
#include "protocol/agent/child.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uthash.h>

#include "protocol/agent/clock.h"
#include "protocol/agent/spawn.h"
#include "protocol/cleanup.h"

struct child {
	struct children *children;
	pid_t pid;
	int event;
	bool outlives;
	void (*on_end)(void *arg);
	void *arg;

	atomic_uint refs;
	bool ended;           /* children->lock */
	struct child_end end; /* children->lock; valid when ended */
	UT_hash_handle hh;    /* children->lock; in the table until reaped */
};

struct children {
	struct rlimit files; /* how many a child may open: the agent wants more for itself */
	pthread_mutex_t lock;
	struct child *by_pid; /* lock */
	pthread_t reaper;
	int signals; /* signalfd of SIGCHLD */
	int stop;    /* eventfd */
};

/* Needs no registry: whoever holds a child may let it go after the registry's end. */
void child_unref(struct child *child)
{
	if (!child || atomic_fetch_sub(&child->refs, 1) > 1)
		return;
	close(child->event);
	free(child);
}

static void raise_event(int fd)
{
	uint64_t one = 1;

	while (write(fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

/*
 * Reaps one process.  The number stays taken until waitpid, which happens under
 * the lock: child_signal, which holds it too, never meets a stranger's number.
 */
static bool reap_one(struct children *children)
{
	siginfo_t info = { 0 };
	struct child *child;
	int status;

	if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == 0)
		return false;

	pthread_mutex_lock(&children->lock);
	HASH_FIND(hh, children->by_pid, &info.si_pid, sizeof(info.si_pid), child);
	if (waitpid(info.si_pid, &status, WNOHANG) != info.si_pid) {
		pthread_mutex_unlock(&children->lock);
		return false;
	}
	if (child) {
		HASH_DEL(children->by_pid, child);
		child->end.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
		child->end.at = clock_epoch();
		child->ended = true;
		raise_event(child->event);
	}
	pthread_mutex_unlock(&children->lock);

	if (child) {
		if (child->on_end)
			child->on_end(child->arg);
		child_unref(child);
	}
	return true;
}

static void *reap(void *arg)
{
	struct children *children = arg;
	struct pollfd wait[2] = {
		{ .fd = children->signals, .events = POLLIN },
		{ .fd = children->stop, .events = POLLIN },
	};

	while (!wait[1].revents) {
		struct signalfd_siginfo info;

		if (poll(wait, 2, -1) < 0)
			continue;
		/* Signals of one kind are not counted: one may stand for many children. */
		if (wait[0].revents && read(children->signals, &info, sizeof(info)) < 0)
			continue;
		while (reap_one(children))
			;
	}
	return NULL;
}

int children_new(struct children **out, struct error *err)
{
	struct children *children = calloc(1, sizeof(*children));
	sigset_t set;
	int rc;

	if (!children)
		return error_set(err, ENOMEM, "out of memory");
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	/* An ignored SIGCHLD, which a parent may have left us, would let the kernel reap. */
	signal(SIGCHLD, SIG_DFL);

	getrlimit(RLIMIT_NOFILE, &children->files);
	pthread_mutex_init(&children->lock, NULL);
	children->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	children->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (children->signals < 0 || children->stop < 0)
		rc = errno;
	else
		rc = pthread_create(&children->reaper, NULL, reap, children);
	if (rc) {
		if (children->signals >= 0)
			close(children->signals);
		if (children->stop >= 0)
			close(children->stop);
		pthread_mutex_destroy(&children->lock);
		free(children);
		return error_set(err, rc, "cannot start the reaper: %s", strerror(rc));
	}
	*out = children;
	return 0;
}

void children_kill(struct children *children)
{
	pthread_mutex_lock(&children->lock);
	for (struct child *child = children->by_pid; child; child = child->hh.next) {
		if (!child->outlives)
			kill(-child->pid, SIGKILL);
	}
	pthread_mutex_unlock(&children->lock);
}

/* Some child that does not outlive the agent, referenced; NULL when none is left. */
static struct child *mortal(struct children *children)
{
	struct child *child;

	pthread_mutex_lock(&children->lock);
	child = children->by_pid;
	while (child && child->outlives)
		child = child->hh.next;
	if (child)
		atomic_fetch_add(&child->refs, 1);
	pthread_mutex_unlock(&children->lock);
	return child;
}

void children_free(struct children *children)
{
	struct child *child;

	if (!children)
		return;
	children_kill(children);
	while ((child = mortal(children)) != NULL) {
		bool ended = child_wait(child, clock_ms() + 2000);

		child_unref(child);
		if (!ended)
			break; /* in uninterruptible sleep: init will have it */
	}
	raise_event(children->stop);
	pthread_join(children->reaper, NULL);
	while ((child = children->by_pid) != NULL) {
		HASH_DEL(children->by_pid, child);
		child_unref(child);
	}
	close(children->signals);
	close(children->stop);
	pthread_mutex_destroy(&children->lock);
	free(children);
}

int child_start(struct children *children, const struct child_spec *spec, struct child **out,
		struct error *err)
{
	struct child *child = calloc(1, sizeof(*child));
	autoclose int report = -1;
	int rc;

	if (!child)
		return error_set(err, ENOMEM, "out of memory");
	child->children = children;
	child->outlives = spec->outlives;
	child->on_end = spec->on_end;
	child->arg = spec->arg;
	atomic_init(&child->refs, 2); /* the registry's and the caller's */
	child->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (child->event < 0) {
		rc = errno;
		free(child);
		return error_set(err, rc, "cannot start a process: %s", strerror(rc));
	}

	/* The lock keeps the reaper from meeting a child that is not in the table yet. */
	pthread_mutex_lock(&children->lock);
	rc = spawn_fork(spec, &children->files, &child->pid, &report);
	if (rc == 0)
		HASH_ADD(hh, children->by_pid, pid, sizeof(child->pid), child);
	pthread_mutex_unlock(&children->lock);
	if (rc < 0) {
		close(child->event);
		free(child);
		return error_set(err, -rc, "cannot start a process: %s", strerror(-rc));
	}
	if (spec->made)
		*spec->made = true;

	rc = spawn_report(report, spec, err);
	if (rc < 0) {
		child_unref(child);
		return rc;
	}
	*out = child;
	return 0;
}

pid_t child_pid(const struct child *child)
{
	return child->pid;
}

int child_event(const struct child *child)
{
	return child->event;
}

bool child_ended(struct child *child, struct child_end *end)
{
	bool ended;

	pthread_mutex_lock(&child->children->lock);
	ended = child->ended;
	if (ended && end)
		*end = child->end;
	pthread_mutex_unlock(&child->children->lock);
	return ended;
}

bool child_wait(struct child *child, int64_t deadline)
{
	struct pollfd wait = { .fd = child->event, .events = POLLIN };
	int rc;

	do
		rc = poll(&wait, 1, clock_until(deadline));
	while (rc < 0 && errno == EINTR);
	return child_ended(child, NULL);
}

int child_signal(struct child *child, int signal)
{
	int rc = 0;

	pthread_mutex_lock(&child->children->lock);
	if (child->ended)
		rc = -ESRCH;
	else if (kill(-child->pid, signal) < 0)
		rc = -errno;
	pthread_mutex_unlock(&child->children->lock);
	return rc;
}
