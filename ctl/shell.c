/*
 * shell.c - a shell's state and verbs.
 */
#include "ctl/shell.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/blocking.h"
#include "ctl/guest.h"
#include "protocol/cleanup.h"

#define COLS 120
#define ROWS 30

/* One request's worth of output; characters of up to four bytes. */
#define FETCH_BYTES ((size_t)LIMIT_SHELL_READ * 4)
/*
 * Requests of one fetch: a shell that writes faster than we read does not hold a caller for ever.
 */
#define FETCH_ROUNDS 64

/* An agent takes up to 5 s to end a shell that does not want to. */
#define CLOSE_SECONDS 10

static struct shell *self(struct object *object)
{
	return (struct shell *)object;
}

static ssize_t take_code(void *owner, struct waitq_reader *reader, int64_t offset, void *bytes,
			 size_t len)
{
	struct shell *shell = owner;
	ssize_t got = -EAGAIN;

	(void)reader;
	pthread_mutex_lock(&shell->job.object.lock);
	if (shell->state == SHELL_STOPPED)
		got = blocking_code(shell->last.has_exit_code ? &shell->last.exit_code : NULL,
				    offset, bytes, len);
	pthread_mutex_unlock(&shell->job.object.lock);
	return got;
}

static bool code_ready(void *owner, struct waitq_reader *reader)
{
	struct shell *shell = owner;
	bool ready;

	(void)reader;
	pthread_mutex_lock(&shell->job.object.lock);
	ready = shell->state == SHELL_STOPPED;
	pthread_mutex_unlock(&shell->job.object.lock);
	return ready;
}

/* BYTES without the beginning of a character at their end, if something is left then. */
static size_t whole_characters(const unsigned char *bytes, size_t len)
{
	size_t back = 0;

	while (back < 3 && back < len && (bytes[len - 1 - back] & 0xc0) == 0x80)
		back++;
	if (back >= len)
		return len;
	/* The lead byte says how many follow. */
	unsigned char lead = bytes[len - 1 - back];
	size_t need = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : lead >= 0xc0 ? 1 : 0;

	return need > back && len > back + 1 ? len - back - 1 : len;
}

/* cons: what came since the last read, whoever read it. */
static ssize_t take_output(void *owner, struct waitq_reader *reader, int64_t offset, void *bytes,
			   size_t len)
{
	struct shell *shell = owner;
	ssize_t got;

	(void)reader;
	(void)offset;
	pthread_mutex_lock(&shell->job.object.lock);
	if (shell->cons_cursor < spool_base(&shell->output))
		shell->cons_cursor = spool_base(&shell->output);
	got = spool_read(&shell->output, shell->cons_cursor, bytes, len);
	if (got > 0) {
		got = (ssize_t)whole_characters(bytes, (size_t)got);
		shell->cons_cursor += got;
	} else if (got == 0 && len > 0 && shell->state != SHELL_STOPPED) {
		got = -EAGAIN;
	}
	pthread_mutex_unlock(&shell->job.object.lock);
	return got;
}

static bool output_ready(void *owner, struct waitq_reader *reader)
{
	struct shell *shell = owner;
	bool ready;

	(void)reader;
	pthread_mutex_lock(&shell->job.object.lock);
	ready = shell->cons_cursor < shell->output.end || shell->state == SHELL_STOPPED;
	pthread_mutex_unlock(&shell->job.object.lock);
	return ready;
}

int shell_new(struct object *dir, const char *name, struct shell **out, struct error *err)
{
	struct shell *shell = calloc(1, sizeof(*shell));

	if (shell)
		shell->render = malloc(sizeof(*shell->render));
	if (!shell || !shell->render ||
	    tree_object_init(&shell->job.object, &shell_type, dir->ctl, dir->guest, name) < 0) {
		if (shell)
			free(shell->render);
		free(shell);
		return error_set(err, ENOMEM, "out of memory");
	}
	shell->cols = COLS;
	shell->rows = ROWS;
	vlock_init(&shell->fetch);
	spool_init(&shell->output, LIMIT_TRANSCRIPT);
	spool_init(&shell->text, LIMIT_TRANSCRIPT);
	render_init(shell->render);
	waitq_init(&shell->cons, shell, take_output, output_ready);
	waitq_init(&shell->wait, shell, take_code, code_ready);
	*out = shell;
	return 0;
}

/* No lock held.  Who waits tries again, and if it is still for something, the guest is asked. */
static void tell(struct shell *shell)
{
	waitq_wake(&shell->cons);
	waitq_wake(&shell->wait);
	if (waitq_wanted(&shell->cons) || waitq_wanted(&shell->wait))
		poller_watch(cguest_poller(&shell->job.object), &shell->job.object);
}

enum shell_state shell_state(struct shell *shell)
{
	enum shell_state state;

	pthread_mutex_lock(&shell->job.object.lock);
	state = shell->state;
	pthread_mutex_unlock(&shell->job.object.lock);
	return state;
}

static bool in_guest(struct shell *shell)
{
	bool there;

	pthread_mutex_lock(&shell->job.object.lock);
	there = shell->in_guest;
	pthread_mutex_unlock(&shell->job.object.lock);
	return there;
}

static void set_in_guest(struct shell *shell, bool there)
{
	pthread_mutex_lock(&shell->job.object.lock);
	shell->in_guest = there;
	pthread_mutex_unlock(&shell->job.object.lock);
}

/*
 * What the guest says of the shell.  SHELL_STOPPED only with all its output, so that cons ends
 * last.
 */
static void set_state(struct shell *shell, const struct proc_shell *fresh, bool drained)
{
	struct object *object = &shell->job.object;
	bool ended;

	pthread_mutex_lock(&object->lock);
	shell->last = *fresh;
	ended = drained && shell->state == SHELL_RUNNING && strcmp(fresh->state, "stopped") == 0;
	if (ended)
		shell->state = SHELL_STOPPED;
	pthread_mutex_unlock(&object->lock);
	if (!ended)
		return;
	events_add(&object->guest->events, "shell %s stopped", object->name);
	cguest_changed(object->guest, NULL);
	tell(shell);
}

/* Bytes that go through the renderer at once, and what can come of them: a line for each byte. */
#define RENDER_BYTES ((size_t)256)
#define RENDER_LINES (RENDER_BYTES * (LIMIT_TEXT_LINE * 4 + 1))

/*
 * object.lock held.  The finished lines go into the spool; a cursor movement can make a long one.
 */
static void render_output(struct shell *shell, const char *bytes, size_t len)
{
	while (len > 0) {
		autobuf struct buf lines = BUF_INIT(RENDER_LINES);
		size_t part = len < RENDER_BYTES ? len : RENDER_BYTES;

		render_feed(shell->render, bytes, part, &lines);
		spool_append(&shell->text, buf_str(&lines), lines.len);
		bytes += part;
		len -= part;
	}
}

/* New output: into the transcript, and through the renderer. */
static int add_output(struct shell *shell, const char *bytes, size_t len)
{
	int rc;

	pthread_mutex_lock(&shell->job.object.lock);
	rc = spool_append(&shell->output, bytes, len);
	/*
	 * `text` may miss something where the disk is full; fetching it again would show it twice.
	 */
	if (rc == 0)
		render_output(shell, bytes, len);
	pthread_mutex_unlock(&shell->job.object.lock);
	return rc;
}

/* shell->fetch held.  One request; bytes that came, 0 when there is nothing new. */
static ssize_t fetch_some(struct shell *shell, const struct call *call, char *bytes,
			  struct error *err)
{
	struct proc_shell fresh = shell->last;
	ssize_t got = proc_shell_read(cguest_guest(&shell->job.object), call, shell->id,
				      shell->last.cursor, bytes, FETCH_BYTES, &fresh, err);
	int rc = 0;

	if (got < 0)
		return got;
	if (got > 0)
		rc = add_output(shell, bytes, (size_t)got);
	if (rc < 0)
		return error_set(err, -rc, "the transcript cannot be kept: %s", strerror(-rc));
	set_state(shell, &fresh, got == 0);
	return got;
}

/*
 * A guest that does not know the shell any more: its agent was started anew.  The shell is gone
 * with it.
 */
static void lost(struct shell *shell)
{
	struct proc_shell fresh;
	struct error why;

	error_set(&why, EIO, "the guest was restarted, or its agent, and the shell ended with it");
	tree_set_error(&shell->job.object, &why);
	pthread_mutex_lock(&shell->job.object.lock);
	fresh = shell->last;
	pthread_mutex_unlock(&shell->job.object.lock);
	set_in_guest(shell, false);
	snprintf(fresh.state, sizeof(fresh.state), "stopped");
	fresh.has_exit_code = false;
	set_state(shell, &fresh, true);
}

int64_t shell_fetch(struct shell *shell, const struct call *call, struct error *err)
{
	autofree char *bytes = NULL;
	int64_t total = 0;
	ssize_t got = 0;
	bool running;
	int rc = vlock_take(&shell->fetch, call);

	if (rc < 0)
		return error_set(err, -rc, "the shell's output is being fetched");
	running = shell_state(shell) == SHELL_RUNNING;
	if (running)
		bytes = malloc(FETCH_BYTES);
	if (running && !bytes)
		got = -ENOMEM;
	for (int i = 0; bytes && i < FETCH_ROUNDS; i++) {
		got = fetch_some(shell, call, bytes, err);
		if (got <= 0)
			break;
		total += got;
	}
	if (got == -ENOENT) {
		lost(shell);
		got = 0;
	}
	vlock_release(&shell->fetch);
	if (total > 0)
		waitq_wake(&shell->cons);
	return got < 0 ? got : total;
}

enum poller_news shell_poll(struct object *object, const struct call *call)
{
	struct shell *shell = self(object);
	int64_t got = shell_fetch(shell, call, NULL);

	if (got == -ENOTCONN || got == -EPROTO) {
		waitq_fail(&shell->cons, (int)-got);
		waitq_fail(&shell->wait, (int)-got);
		cguest_notice(object->guest);
		return POLLER_DONE;
	}
	if (shell_state(shell) != SHELL_RUNNING ||
	    (!waitq_wanted(&shell->cons) && !waitq_wanted(&shell->wait)))
		return POLLER_DONE;
	return got > 0 ? POLLER_ACTIVE : POLLER_QUIET;
}

/* Verbs */

/* The guest forgets the id of a shell that has ended, so that nothing is left behind there. */
static void forget_ended(struct shell *shell, const struct call *call)
{
	struct proc_shell last = { 0 };

	if (in_guest(shell))
		proc_shell_close(cguest_guest(&shell->job.object), call, shell->id, &last, NULL);
	set_in_guest(shell, false);
}

static void set_running(struct shell *shell, const char *id, const struct proc_shell *fresh)
{
	struct object *object = &shell->job.object;

	pthread_mutex_lock(&object->lock);
	snprintf(shell->id, sizeof(shell->id), "%s", id);
	shell->state = SHELL_RUNNING;
	shell->in_guest = true;
	shell->last = *fresh;
	shell->last.cursor = 0;
	clock_gettime(CLOCK_REALTIME, &object->changed);
	pthread_mutex_unlock(&object->lock);
}

int shell_open(struct shell *shell, const struct call *call, struct error *err)
{
	struct object *object = &shell->job.object;
	struct proc_settings settings = settings_proc(&shell->job.settings);
	struct call within = cguest_call(object->guest, call->cancel);
	struct proc_shell fresh = { 0 };
	char id[LIMIT_ENTITY_NAME + 1];
	int rc;

	rc = vlock_take(&shell->fetch, &within);
	if (rc < 0)
		return error_set(err, -rc, "the shell's output is being fetched");
	forget_ended(shell, &within);
	/* Other clients have shells in the guest, too; and an id stays taken. */
	snprintf(id, sizeof(id), "%.40s-%.8s-%u", object->name, guest_token(cguest_guest(object)),
		 ++shell->opened);
	rc = proc_shell_open(cguest_guest(object), &within, id, &settings, shell->cols, shell->rows,
			     &fresh, err);
	if (rc == 0)
		set_running(shell, id, &fresh);
	vlock_release(&shell->fetch);
	if (rc < 0)
		return rc;
	events_add(&object->guest->events, "shell %s running", object->name);
	tell(shell);
	return 0;
}

int shell_ensure_open(struct shell *shell, const struct call *call, struct error *err)
{
	struct object *object = &shell->job.object;
	struct call forever = call_extend(call, 1e9);
	int rc = vlock_take(&object->verbs, &forever);

	if (rc < 0)
		return error_set(err, -rc, "interrupted while another verb was running");
	rc = tree_check(object);
	/* A shell that has ended stays so: what it left is still to be read. */
	if (rc == 0 && shell_state(shell) == SHELL_NEW)
		rc = shell_open(shell, call, err);
	vlock_release(&object->verbs);
	return rc;
}

int shell_close(struct shell *shell, const struct call *call, struct error *err)
{
	struct object *object = &shell->job.object;
	struct call within = cguest_call_long(object->guest, call->cancel, CLOSE_SECONDS);
	struct proc_shell fresh = { 0 };
	int rc;

	if (!in_guest(shell))
		return 0;
	/* What it wrote up to now is kept; what a dying shell says is lost. */
	shell_fetch(shell, &within, NULL);
	rc = vlock_take(&shell->fetch, &within);
	if (rc < 0)
		return error_set(err, -rc, "the shell's output is being fetched");
	rc = proc_shell_close(cguest_guest(object), &within, shell->id, &fresh, err);
	if (rc == -ENOENT)
		rc = 0;
	if (rc == 0) {
		set_in_guest(shell, false);
		snprintf(fresh.state, sizeof(fresh.state), "stopped");
		set_state(shell, &fresh, true);
	}
	vlock_release(&shell->fetch);
	return rc;
}
