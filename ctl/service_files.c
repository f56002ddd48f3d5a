/*
 * service_files.c - services/NAME/{ctl,status,stdout,stderr,wait,error}.
 */
#include <errno.h>
#include <string.h>

#include "ctl/blocking.h"
#include "ctl/ctlfile.h"
#include "ctl/guest.h"
#include "ctl/service.h"
#include "ctl/stream.h"
#include "ctl/text.h"
#include "protocol/cleanup.h"

static struct service *self(struct object *object)
{
	return (struct service *)object;
}

/* "file /workspace/.ready", as the verb takes it. */
static void print_ready(const struct service *service, struct buf *out)
{
	static const char *const kinds[] = { "none", "file", "tcp", "http", "command" };

	buf_adds(out, kinds[service->ready]);
	if (service->ready_value)
		buf_addf(out, " %s", service->ready_value);
}

static int ctl_text(struct object *object, const struct call *call, struct buf *out,
		    struct error *err)
{
	struct service *service = self(object);

	(void)call;
	(void)err;
	job_print_settings(object, out);
	pthread_mutex_lock(&object->lock);
	buf_adds(out, "ready ");
	print_ready(service, out);
	buf_addf(out, "\nready-timeout %.15g\nready-interval %u\n", service->ready_timeout,
		 service->ready_interval);
	pthread_mutex_unlock(&object->lock);
	return 0;
}

static int status_text(struct object *object, const struct call *call, struct buf *out,
		       struct error *err)
{
	struct service *service = self(object);
	struct call within = cguest_call(object->guest, call->cancel);
	const struct proc_service *last = &service->last;
	autobuf struct buf ready = BUF_INIT(LIMIT_CTL_LINE);
	int rc = service_refresh(service, &within, err);

	if (rc < 0)
		return rc;
	pthread_mutex_lock(&object->lock);
	print_ready(service, &ready);
	text_str(out, "service_name", object->name);
	text_str(out, "state",
		 service->starting ? "starting" :
		 service->known    ? last->state :
				     "new");
	text_str(out, "command", last->command);
	text_str(out, "cwd", last->cwd ? last->cwd : settings_dir(&service->job.settings));
	text_time(out, "started_at", last->started_at);
	text_time(out, "ready_at", last->ready_at);
	text_time(out, "ended_at", last->ended_at);
	if (last->has_exit_code)
		text_int(out, "exit_code", last->exit_code);
	else
		text_null(out, "exit_code");
	if (last->pid > 0)
		text_int(out, "pid", last->pid);
	else
		text_null(out, "pid");
	text_str(out, "readiness", buf_str(&ready));
	text_str(out, "stop_reason", last->stop_reason[0] ? last->stop_reason : NULL);
	text_int(out, "stdout_size", last->out_size);
	text_int(out, "stderr_size", last->err_size);
	pthread_mutex_unlock(&object->lock);
	return 0;
}

/* stdout and stderr: `which` is 1 or 2 */

static int64_t size(struct object *object, int which)
{
	struct service *service = self(object);
	int64_t bytes;

	pthread_mutex_lock(&object->lock);
	bytes = which == 1 ? service->last.out_size : service->last.err_size;
	pthread_mutex_unlock(&object->lock);
	return bytes > 0 ? bytes : 0;
}

static int refresh(struct object *object, const struct call *call)
{
	return service_refresh(self(object), call, NULL);
}

static ssize_t read_log(struct object *object, int which, const struct call *call, int64_t offset,
			void *bytes, size_t len)
{
	bool known, starting;
	ssize_t got;

	/*
	 * Also while it starts: a slow start is when people look.  The guest may not know it yet.
	 */
	pthread_mutex_lock(&object->lock);
	known = self(object)->known;
	starting = self(object)->starting;
	pthread_mutex_unlock(&object->lock);
	if (!known && !starting)
		return 0;
	got = proc_service_read(cguest_guest(object), call, object->name, which, offset, bytes, len,
				NULL);
	return got == -ENOENT && starting ? 0 : got;
}

static const struct stream_type log_type = { .refresh = refresh, .read = read_log };

static struct waitq *wait_queue(struct object *object)
{
	return &self(object)->wait;
}

static const struct blocking_type wait_type = { .queue = wait_queue, .asks = true };

const struct file_type service_file_types[SERVICE_FILES] = {
	{ .name = "ctl", .mode = S_IFREG | 0600, .ops = &ctl_ops, .text = ctl_text },
	{ .name = "status",
	  .mode = S_IFREG | 0444,
	  .ops = &text_ops,
	  .text = status_text,
	  .asks = true },
	{ .name = "stdout",
	  .mode = S_IFREG | 0400,
	  .ops = &stream_ops,
	  .which = 1,
	  .size = size,
	  .stream = &log_type },
	{ .name = "stderr",
	  .mode = S_IFREG | 0400,
	  .ops = &stream_ops,
	  .which = 2,
	  .size = size,
	  .stream = &log_type },
	{ .name = "wait", .mode = S_IFREG | 0400, .ops = &blocking_ops, .blocking = &wait_type },
	{ .name = "error", .mode = S_IFREG | 0400, .ops = &text_ops, .text = text_error_file },
};
