/*
 * exec_files.c - exec/NAME/{ctl,status,stdin,stdout,stderr,exit_code,wait,error}.
 */
#include <errno.h>
#include <string.h>

#include "ctl/blocking.h"
#include "ctl/ctlfile.h"
#include "ctl/exec.h"
#include "ctl/guest.h"
#include "ctl/stream.h"
#include "ctl/text.h"
#include "protocol/cleanup.h"
#include "protocol/tempfile.h"

static struct exec *self(struct object *object)
{
	return (struct exec *)object;
}

static int ctl_text(struct object *object, const struct call *call, struct buf *out,
		    struct error *err)
{
	(void)call;
	(void)err;
	job_print_settings(object, out);
	pthread_mutex_lock(&object->lock);
	buf_addf(out, "timeout %.15g\n", self(object)->timeout);
	pthread_mutex_unlock(&object->lock);
	return 0;
}

static int status_text(struct object *object, const struct call *call, struct buf *out,
		       struct error *err)
{
	static const char *const states[] = { "new", "running", "exited" };
	struct exec *exec = self(object);
	struct call within = cguest_call(object->guest, call->cancel);
	int rc = exec_refresh(exec, &within, err);

	if (rc < 0)
		return rc;
	pthread_mutex_lock(&object->lock);
	text_str(out, "state", states[exec->state]);
	text_str(out, "command", exec->command);
	text_str(out, "cwd", settings_dir(&exec->job.settings));
	buf_addf(out, "timeout_seconds %.15g\n", exec->timeout);
	if (exec->state == EXEC_EXITED && !exec->lost)
		text_int(out, "exit_code", exec->last.exit_code);
	else
		text_null(out, "exit_code");
	if (exec->last.pid > 0)
		text_int(out, "pid", exec->last.pid);
	else
		text_null(out, "pid");
	text_int(out, "stdin_size", exec->stdin_size);
	text_int(out, "stdout_size", exec->last.out_size);
	text_int(out, "stderr_size", exec->last.err_size);
	pthread_mutex_unlock(&object->lock);
	return 0;
}

/* exit_code: empty until it is known */
static int exit_code_text(struct object *object, const struct call *call, struct buf *out,
			  struct error *err)
{
	struct exec *exec = self(object);
	struct call within = cguest_call(object->guest, call->cancel);
	int rc = exec_refresh(exec, &within, err);

	if (rc < 0)
		return rc;
	pthread_mutex_lock(&object->lock);
	if (exec->state == EXEC_EXITED && !exec->lost)
		buf_addf(out, "%d\n", exec->last.exit_code);
	pthread_mutex_unlock(&object->lock);
	return 0;
}

/* stdout and stderr: `which` is 1 or 2 */

static int64_t output_size(struct object *object, int which)
{
	struct exec *exec = self(object);
	int64_t bytes;

	pthread_mutex_lock(&object->lock);
	bytes = which == 1 ? exec->last.out_size : exec->last.err_size;
	pthread_mutex_unlock(&object->lock);
	return bytes > 0 ? bytes : 0;
}

static int refresh(struct object *object, const struct call *call)
{
	return exec_refresh(self(object), call, NULL);
}

static ssize_t read_output(struct object *object, int which, const struct call *call,
			   int64_t offset, void *bytes, size_t len)
{
	struct exec_run *run = exec_get_run(self(object));
	ssize_t got = 0;

	if (run)
		got = proc_command_read(run->command, call, which, offset, bytes, len, NULL);
	exec_put_run(run);
	/* The file is there, only the guest has forgotten what was in it. */
	return got == -ENOENT ? -EIO : got;
}

static const struct stream_type output_type = { .refresh = refresh, .read = read_output };

/* stdin: a plain file until a command runs with it */

static int64_t stdin_size(struct object *object, int which)
{
	int64_t bytes;

	(void)which;
	pthread_mutex_lock(&object->lock);
	bytes = self(object)->stdin_size;
	pthread_mutex_unlock(&object->lock);
	return bytes;
}

/*
 * object.lock held.  The temporary file, made when it is first needed; -EBUSY while it is in use.
 */
static int stdin_file(struct exec *exec)
{
	int fd;

	if (exec->state == EXEC_RUNNING)
		return -EBUSY;
	if (exec->stdin_fd >= 0)
		return 0;
	fd = tempfile_open(NULL);
	if (fd < 0)
		return fd;
	exec->stdin_fd = fd;
	return 0;
}

static int stdin_resize(struct exec *exec, int64_t size)
{
	int rc;

	if (size < 0 || size > LIMIT_STDIN_FILE)
		return -EFBIG;
	pthread_mutex_lock(&exec->job.object.lock);
	rc = stdin_file(exec);
	if (rc == 0 && ftruncate(exec->stdin_fd, size) < 0)
		rc = -errno;
	if (rc == 0)
		exec->stdin_size = size;
	pthread_mutex_unlock(&exec->job.object.lock);
	return rc;
}

static int stdin_setattr(struct vnode *vnode, const struct call *call, struct vn_file *file,
			 unsigned mask, const struct stat *in, struct vn_attr *attr)
{
	int rc = tree_check(node_of(vnode)->object);

	if (rc == 0 && (mask & VN_SET_SIZE) && !(mask & (VN_SET_MODE | VN_SET_UID | VN_SET_GID)))
		rc = stdin_resize(self(node_of(vnode)->object), in->st_size);
	return rc < 0 ? rc : tree_setattr(vnode, call, file, mask, in, attr);
}

static int stdin_open(struct vnode *vnode, const struct call *call, struct vn_file *file)
{
	struct exec *exec = self(node_of(vnode)->object);
	int rc = tree_check(&exec->job.object);

	(void)call;
	if (rc == 0 && (file->flags & O_ACCMODE) != O_RDONLY) {
		pthread_mutex_lock(&exec->job.object.lock);
		rc = stdin_file(exec);
		pthread_mutex_unlock(&exec->job.object.lock);
	}
	if (rc == 0 && (file->flags & O_TRUNC))
		rc = stdin_resize(exec, 0);
	file->direct_io = true;
	return rc;
}

static ssize_t stdin_read(struct vnode *vnode, struct vn_req *req, struct vn_file *file,
			  int64_t offset, void *bytes, size_t len)
{
	struct exec *exec = self(node_of(vnode)->object);
	ssize_t got = tree_check(&exec->job.object);

	(void)req;
	(void)file;
	if (got < 0)
		return got;
	pthread_mutex_lock(&exec->job.object.lock);
	if (exec->stdin_fd >= 0)
		got = pread(exec->stdin_fd, bytes, len, offset);
	if (got < 0)
		got = -errno;
	pthread_mutex_unlock(&exec->job.object.lock);
	return got;
}

static ssize_t stdin_write(struct vnode *vnode, const struct call *call, struct vn_file *file,
			   int64_t offset, const void *bytes, size_t len)
{
	struct exec *exec = self(node_of(vnode)->object);
	ssize_t put = tree_check(&exec->job.object);

	(void)call;
	if (put < 0)
		return put;
	pthread_mutex_lock(&exec->job.object.lock);
	put = stdin_file(exec);
	/* Where the end is, the kernel only believes to know. */
	if (file->flags & O_APPEND)
		offset = exec->stdin_size;
	if (put == 0 && (offset < 0 || (int64_t)len > LIMIT_STDIN_FILE - offset))
		put = -EFBIG;
	if (put == 0 && (put = pwrite(exec->stdin_fd, bytes, len, offset)) < 0)
		put = -errno;
	if (put > 0 && offset + put > exec->stdin_size)
		exec->stdin_size = offset + put;
	pthread_mutex_unlock(&exec->job.object.lock);
	return put;
}

static const struct vnode_ops stdin_ops = {
	.getattr = tree_getattr,
	.setattr = stdin_setattr,
	.open = stdin_open,
	.read = stdin_read,
	.write = stdin_write,
	.drop = tree_drop,
};

/* wait */

static struct waitq *wait_queue(struct object *object)
{
	return &self(object)->wait;
}

static const struct blocking_type wait_type = { .queue = wait_queue, .asks = true };

const struct file_type exec_file_types[EXEC_FILES] = {
	{ .name = "ctl", .mode = S_IFREG | 0600, .ops = &ctl_ops, .text = ctl_text },
	{ .name = "status",
	  .mode = S_IFREG | 0444,
	  .ops = &text_ops,
	  .text = status_text,
	  .asks = true },
	{ .name = "stdin", .mode = S_IFREG | 0600, .ops = &stdin_ops, .size = stdin_size },
	{ .name = "stdout",
	  .mode = S_IFREG | 0400,
	  .ops = &stream_ops,
	  .which = 1,
	  .size = output_size,
	  .stream = &output_type },
	{ .name = "stderr",
	  .mode = S_IFREG | 0400,
	  .ops = &stream_ops,
	  .which = 2,
	  .size = output_size,
	  .stream = &output_type },
	{ .name = "exit_code",
	  .mode = S_IFREG | 0444,
	  .ops = &text_ops,
	  .text = exit_code_text,
	  .asks = true },
	{ .name = "wait", .mode = S_IFREG | 0400, .ops = &blocking_ops, .blocking = &wait_type },
	{ .name = "error", .mode = S_IFREG | 0400, .ops = &text_ops, .text = text_error_file },
};
