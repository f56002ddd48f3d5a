/*
 * shell_files.c - shells/ID/{ctl,status,cons,output,text,wait,error}.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "ctl/blocking.h"
#include "ctl/ctlfile.h"
#include "ctl/guest.h"
#include "ctl/shell.h"
#include "ctl/stream.h"
#include "ctl/text.h"
#include "protocol/cleanup.h"

static struct shell *self(struct object *object)
{
	return (struct shell *)object;
}

static int ctl_text(struct object *object, const struct call *call, struct buf *out,
		    struct error *err)
{
	(void)call;
	(void)err;
	job_print_settings(object, out);
	pthread_mutex_lock(&object->lock);
	buf_addf(out, "size %d %d\n", self(object)->cols, self(object)->rows);
	pthread_mutex_unlock(&object->lock);
	return 0;
}

static int status_text(struct object *object, const struct call *call, struct buf *out,
		       struct error *err)
{
	static const char *const states[] = { "new", "running", "stopped" };
	struct shell *shell = self(object);
	struct call within = cguest_call(object->guest, call->cancel);
	int64_t rc = shell_fetch(shell, &within, err);

	if (rc < 0)
		return (int)rc;
	pthread_mutex_lock(&object->lock);
	text_str(out, "shell_id", shell->id[0] ? shell->id : NULL);
	text_str(out, "state", states[shell->state]);
	text_str(out, "cwd", settings_dir(&shell->job.settings));
	text_int(out, "cols", shell->cols);
	text_int(out, "rows", shell->rows);
	text_time(out, "started_at", shell->last.started_at);
	text_time(out, "ended_at", shell->last.ended_at);
	if (shell->state == SHELL_STOPPED && shell->last.has_exit_code)
		text_int(out, "exit_code", shell->last.exit_code);
	else
		text_null(out, "exit_code");
	text_int(out, "output_size", shell->output.end);
	text_int(out, "output_forgotten", spool_base(&shell->output));
	pthread_mutex_unlock(&object->lock);
	return 0;
}

/* output and text */

enum { OUTPUT, TEXT };

/* object.lock held. */
static struct spool *spool_of(struct shell *shell, int which)
{
	return which == OUTPUT ? &shell->output : &shell->text;
}

/* object.lock held.  The line that the shell is still at, as `text` shows it. */
static void unfinished_line(struct shell *shell, struct buf *out)
{
	buf_init(out, (size_t)LIMIT_TEXT_LINE * 4 + 1);
	render_line(shell->render, out);
}

static int64_t base(struct object *object, int which)
{
	int64_t offset;

	pthread_mutex_lock(&object->lock);
	offset = spool_base(spool_of(self(object), which));
	pthread_mutex_unlock(&object->lock);
	return offset;
}

static int64_t size(struct object *object, int which)
{
	struct shell *shell = self(object);
	struct spool *spool = spool_of(shell, which);
	int64_t bytes;

	pthread_mutex_lock(&object->lock);
	bytes = spool->end - spool_base(spool);
	if (which == TEXT) {
		autobuf struct buf line = BUF_INIT(0);

		unfinished_line(shell, &line);
		bytes += (int64_t)line.len;
	}
	pthread_mutex_unlock(&object->lock);
	return bytes;
}

/*
 * What has been fetched stays readable when the guest is gone: only an interrupt is an error here.
 */
static int refresh(struct object *object, const struct call *call)
{
	return shell_fetch(self(object), call, NULL) == -EINTR ? -EINTR : 0;
}

static ssize_t read_kept(struct object *object, int which, int64_t offset, void *bytes, size_t len)
{
	struct shell *shell = self(object);
	struct spool *spool = spool_of(shell, which);
	ssize_t got;

	pthread_mutex_lock(&object->lock);
	got = spool_read(spool, offset, bytes, len);
	if (got == 0 && which == TEXT) {
		autobuf struct buf line = BUF_INIT(0);

		unfinished_line(shell, &line);
		got = text_slice(buf_str(&line), line.len, offset - spool->end, bytes, len);
	}
	pthread_mutex_unlock(&object->lock);
	return got;
}

static ssize_t read_transcript(struct object *object, int which, const struct call *call,
			       int64_t offset, void *bytes, size_t len)
{
	ssize_t got = read_kept(object, which, offset, bytes, len);
	int rc;

	if (got != 0)
		return got;
	rc = refresh(object, call);
	return rc < 0 ? rc : read_kept(object, which, offset, bytes, len);
}

static const struct stream_type transcript_type = {
	.refresh = refresh,
	.base = base,
	.read = read_transcript,
};

/* cons */

static struct waitq *cons_queue(struct object *object)
{
	return &self(object)->cons;
}

static const struct blocking_type cons_type = { .queue = cons_queue, .stream = true, .asks = true };

static int cons_open(struct vnode *vnode, const struct call *call, struct vn_file *file)
{
	struct object *object = node_of(vnode)->object;
	struct error err = { 0 };
	int rc = tree_check(object);

	if (rc < 0)
		return rc;
	rc = shell_ensure_open(self(object), call, &err);
	if (rc < 0) {
		error_wrap(&err, rc, "opening cons");
		tree_set_error(object, &err);
		return rc;
	}
	return blocking_open(vnode, file);
}

/* Where the shell's input goes, or the errno of one that takes none. */
static int writable(struct shell *shell, char *id)
{
	int rc = tree_check(&shell->job.object);

	pthread_mutex_lock(&shell->job.object.lock);
	if (rc == 0 && shell->state != SHELL_RUNNING)
		rc = -EIO;
	memcpy(id, shell->id, sizeof(shell->id));
	pthread_mutex_unlock(&shell->job.object.lock);
	return rc;
}

static ssize_t cons_write(struct vnode *vnode, const struct call *call, struct vn_file *file,
			  int64_t offset, const void *bytes, size_t len)
{
	struct object *object = node_of(vnode)->object;
	struct call within = cguest_call(object->guest, call->cancel);
	char id[LIMIT_ENTITY_NAME + 1];
	struct error err = { 0 };
	size_t done = 0;
	ssize_t put = writable(self(object), id);

	(void)file;
	(void)offset;
	while (put >= 0 && done < len) {
		put = proc_shell_write(cguest_guest(object), &within, id,
				       (const char *)bytes + done, len - done, &err);
		if (put == 0)
			put = error_set(&err, EIO, "the shell takes no input");
		if (put > 0)
			done += (size_t)put;
	}
	/* Its echo comes soon. */
	if (waitq_wanted(cons_queue(object)))
		poller_watch(cguest_poller(object), object);
	if (put < 0 && err.code && err.code != EINTR) {
		error_wrap(&err, err.code, "writing to cons");
		tree_set_error(object, &err);
	}
	/* A short count says how much was typed; the next write meets the error again. */
	return done > 0 || len == 0 ? (ssize_t)done : put;
}

static unsigned cons_poll(struct vnode *vnode, struct vn_file *file, struct vn_poll *poll)
{
	return blocking_poll(vnode, file, poll) | POLLOUT | POLLWRNORM;
}

static const struct vnode_ops cons_ops = {
	.getattr = tree_getattr,
	.setattr = tree_setattr,
	.open = cons_open,
	.read = blocking_read,
	.write = cons_write,
	.poll = cons_poll,
	.release = blocking_release,
	.drop = tree_drop,
};

/* wait */

static struct waitq *wait_queue(struct object *object)
{
	return &self(object)->wait;
}

static const struct blocking_type wait_type = { .queue = wait_queue, .asks = true };

const struct file_type shell_file_types[SHELL_FILES] = {
	{ .name = "ctl", .mode = S_IFREG | 0600, .ops = &ctl_ops, .text = ctl_text },
	{ .name = "status",
	  .mode = S_IFREG | 0444,
	  .ops = &text_ops,
	  .text = status_text,
	  .asks = true },
	{ .name = "cons", .mode = S_IFREG | 0600, .ops = &cons_ops, .blocking = &cons_type },
	{ .name = "output",
	  .mode = S_IFREG | 0400,
	  .ops = &stream_ops,
	  .which = OUTPUT,
	  .size = size,
	  .stream = &transcript_type },
	{ .name = "text",
	  .mode = S_IFREG | 0400,
	  .ops = &stream_ops,
	  .which = TEXT,
	  .size = size,
	  .stream = &transcript_type },
	{ .name = "wait", .mode = S_IFREG | 0400, .ops = &blocking_ops, .blocking = &wait_type },
	{ .name = "error", .mode = S_IFREG | 0400, .ops = &text_ops, .text = text_error_file },
};
