/*
 * service.c - a service's life, verbs, and who waits for it.
 */
#include "ctl/service.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/blocking.h"
#include "ctl/guest.h"
#include "protocol/cleanup.h"

#define READY_TIMEOUT 30
#define READY_INTERVAL_MS 500

/* What an agent may take beyond the time for a request, to end a service that does not want to. */
#define STOP_SECONDS 15

static struct service *self(struct object *object)
{
	return (struct service *)object;
}

/* object.lock held.  What was started last has ended, as far as is known. */
static bool ended(const struct service *service)
{
	return service->known && !service->starting && service->last.state[0] &&
	       !service_runs(&service->last);
}

/* wait: the exit code, once what was started has ended. */
static ssize_t take_code(void *owner, struct waitq_reader *reader, int64_t offset, void *bytes,
			 size_t len)
{
	struct service *service = owner;
	ssize_t got = -EAGAIN;

	(void)reader;
	pthread_mutex_lock(&service->job.object.lock);
	if (ended(service))
		got = blocking_code(service->last.has_exit_code ? &service->last.exit_code : NULL,
				    offset, bytes, len);
	pthread_mutex_unlock(&service->job.object.lock);
	return got;
}

static bool code_ready(void *owner, struct waitq_reader *reader)
{
	struct service *service = owner;
	bool ready;

	(void)reader;
	pthread_mutex_lock(&service->job.object.lock);
	ready = ended(service);
	pthread_mutex_unlock(&service->job.object.lock);
	return ready;
}

int service_new(struct object *dir, const char *name, struct service **out, struct error *err)
{
	struct service *service = calloc(1, sizeof(*service));

	if (!service ||
	    tree_object_init(&service->job.object, &service_type, dir->ctl, dir->guest, name) < 0) {
		free(service);
		return error_set(err, ENOMEM, "out of memory");
	}
	service->ready_timeout = READY_TIMEOUT;
	service->ready_interval = READY_INTERVAL_MS;
	waitq_init(&service->wait, service, take_code, code_ready);
	*out = service;
	return 0;
}

enum knowledge { NOT_IN_GUEST, RUNS, HAS_ENDED };

static enum knowledge what_is_known(struct service *service)
{
	enum knowledge answer = NOT_IN_GUEST;

	pthread_mutex_lock(&service->job.object.lock);
	if (service->known)
		answer = service_runs(&service->last) ? RUNS : HAS_ENDED;
	pthread_mutex_unlock(&service->job.object.lock);
	return answer;
}

/* No lock held.  Who waits tries again, and if it is still for something, the guest is asked. */
static void tell(struct service *service)
{
	waitq_wake(&service->wait);
	if (waitq_wanted(&service->wait))
		poller_watch(cguest_poller(&service->job.object), &service->job.object);
}

/* Somebody waits for the end: asks whether it has come. */
static enum poller_news poll_service(struct object *object, const struct call *call)
{
	struct service *service = self(object);
	int rc = service_refresh(service, call, NULL);
	bool more;

	if (rc == -ENOTCONN || rc == -EPROTO) {
		waitq_fail(&service->wait, -rc);
		cguest_notice(object->guest);
		return POLLER_DONE;
	}
	/* What is not there cannot end by itself: the next start has it watched again. */
	pthread_mutex_lock(&object->lock);
	more = service->known && !service->starting && !ended(service);
	pthread_mutex_unlock(&object->lock);
	return more && waitq_wanted(&service->wait) ? POLLER_QUIET : POLLER_DONE;
}

/* Verbs */

/* HOST:PORT; what a host is, the guest knows. */
static bool is_host_port(const char *text)
{
	const char *colon = strrchr(text, ':');
	size_t digits = colon ? strspn(colon + 1, "0123456789") : 0;
	long port;

	if (!digits || digits > 5 || colon[1 + digits] || colon == text)
		return false;
	port = strtol(colon + 1, NULL, 10);
	return port >= 1 && port <= 65535;
}

/* http://HOST[:PORT][/...] */
static bool is_http(const char *text)
{
	char place[256]; /* a name has up to 253 bytes */
	size_t len;

	if (strncmp(text, "http://", 7) != 0)
		return false;
	text += 7;
	len = strcspn(text, "/?#");
	if (!len || len >= sizeof(place))
		return false;
	memcpy(place, text, len);
	place[len] = '\0';
	return !strchr(place, ':') || place[len - 1] == ']' || is_host_port(place);
}

static int verb_ready(struct object *object, const struct call *call, const struct cmd *cmd,
		      struct error *err)
{
	static const char *const kinds[] = { "none", "file", "tcp", "http", "command" };
	struct service *service = self(object);
	const char *text = cmd->argv[0];
	size_t word = strcspn(text, " \t");
	const char *value = text + word + strspn(text + word, " \t");
	char *copy = NULL;
	int kind;

	(void)call;
	for (kind = PROC_READY_NONE; kind <= PROC_READY_COMMAND; kind++)
		if (strlen(kinds[kind]) == word && memcmp(kinds[kind], text, word) == 0)
			break;
	if (kind > PROC_READY_COMMAND || (kind == PROC_READY_NONE) != !*value)
		return error_set(err, EINVAL, "the usage is: %s", cmd->verb->usage);
	if (kind == PROC_READY_TCP && !is_host_port(value))
		return error_set(err, EINVAL,
				 "'%.80s' is not HOST:PORT, with a port from 1 to 65535", value);
	if (kind == PROC_READY_HTTP && !is_http(value))
		return error_set(err, EINVAL, "'%.80s' is not http://HOST[:PORT][/PATH]", value);
	if (*value && !(copy = strdup(value)))
		return error_set(err, ENOMEM, "out of memory");
	pthread_mutex_lock(&object->lock);
	free(service->ready_value);
	service->ready_value = copy;
	service->ready = (enum proc_ready_kind)kind;
	pthread_mutex_unlock(&object->lock);
	return 0;
}

static int verb_ready_timeout(struct object *object, const struct call *call, const struct cmd *cmd,
			      struct error *err)
{
	double seconds;
	int rc = cmd_number(cmd->argv[0], 0.001, 86400, false, "the time in seconds", &seconds,
			    err);

	(void)call;
	if (rc < 0)
		return rc;
	pthread_mutex_lock(&object->lock);
	self(object)->ready_timeout = seconds;
	pthread_mutex_unlock(&object->lock);
	return 0;
}

static int verb_ready_interval(struct object *object, const struct call *call,
			       const struct cmd *cmd, struct error *err)
{
	double ms;
	int rc = cmd_number(cmd->argv[0], 1, 3600000, true, "the time in milliseconds", &ms, err);

	(void)call;
	if (rc < 0)
		return rc;
	pthread_mutex_lock(&object->lock);
	self(object)->ready_interval = (unsigned)ms;
	pthread_mutex_unlock(&object->lock);
	return 0;
}

/* The last lines that a service wrote to stderr before it failed, for `error`. */
static void keep_stderr_tail(struct object *object, const struct call *call, int64_t size)
{
	char tail[LIMIT_STDERR_TAIL];
	autobuf struct buf text = BUF_INIT(LIMIT_STDERR_TAIL + 64);
	int64_t from = size > (int64_t)sizeof(tail) ? size - (int64_t)sizeof(tail) : 0;
	ssize_t got = proc_service_read(cguest_guest(object), call, object->name, 2, from, tail,
					sizeof(tail), NULL);
	const char *begin = tail;

	if (got <= 0)
		return;
	/* Not half a line, where there is a whole one. */
	if (from > 0) {
		const char *newline = memchr(tail, '\n', (size_t)got);

		if (newline && newline + 1 < tail + got)
			begin = newline + 1;
	}
	for (char *p = tail; p < tail + got; p++)
		if (((unsigned char)*p < ' ' && *p != '\n' && *p != '\t') || *p == 0x7f)
			*p = '?';
	buf_adds(&text, "its stderr ends:\n");
	buf_add(&text, begin, (size_t)(tail + got - begin));
	if (tail[got - 1] != '\n')
		buf_adds(&text, "\n");
	tree_set_detail(object, buf_steal(&text));
}

/* From here until end_start, nothing is known of what runs. */
static void begin_start(struct service *service)
{
	pthread_mutex_lock(&service->job.object.lock);
	service->starting = true;
	cancel_init(&service->start);
	proc_service_free(&service->last);
	service->last = (struct proc_service){ 0 };
	pthread_mutex_unlock(&service->job.object.lock);
}

/*
 * FRESH is what the start came to; nothing in it after an interrupt or a lost reply: then
 * nobody knows, and whoever asks next learns it from the guest.
 */
static void end_start(struct service *service, struct proc_service *fresh)
{
	pthread_mutex_lock(&service->job.object.lock);
	service->starting = false;
	service->known = true;
	pthread_mutex_unlock(&service->job.object.lock);
	cancel_destroy(&service->start);
	if (fresh->state[0])
		service_update(service, fresh);
	tell(service);
}

static void fire(void *token)
{
	cancel_fire(token);
}

/* The start itself, which the caller's token ends, and a stop that comes meanwhile. */
static int start_and_wait(struct service *service, const struct call *call, const char *command,
			  struct proc_service *fresh, struct error *err)
{
	struct object *object = &service->job.object;
	struct proc_settings settings = settings_proc(&service->job.settings);
	struct proc_readiness readiness = {
		.kind = service->ready,
		.value = service->ready_value,
		.timeout = service->ready_timeout,
		.interval_ms = service->ready_interval,
	};
	struct call within = cguest_call_long(object->guest, &service->start,
					      service->ready_timeout + STOP_SECONDS +
						      READY_TIMEOUT);
	bool chained = cancel_set_wake(call->cancel, fire, &service->start);
	int rc;

	if (!chained)
		cancel_fire(&service->start);
	rc = proc_service_start(cguest_guest(object), &within, object->name, command, &settings,
				&readiness, fresh, err);
	if (chained)
		cancel_unset_wake(call->cancel);
	if (rc == -EINTR && call->cancel && cancel_fired(call->cancel))
		return error_set(err, EINTR,
				 "interrupted before the service was ready; it is stopped");
	/* Not EINTR: many programs would simply write the line again. */
	if (rc == -EINTR)
		rc = error_set(err, ECANCELED, "it was stopped while it was starting");
	return rc;
}

/*
 * While a service starts, stop and rmdir end that first; other verbs are told, and not made to
 * wait for as long as the service takes.
 */
static int admit(struct object *object, const struct cmd_verb *verb, struct error *err)
{
	struct service *service = self(object);
	bool starting, ends = !verb || strcmp(verb->name, "stop") == 0;

	pthread_mutex_lock(&object->lock);
	starting = service->starting;
	if (starting && ends)
		cancel_fire(&service->start);
	pthread_mutex_unlock(&object->lock);
	if (starting && !ends)
		return error_set(err, EBUSY, "'%s' is starting; stop it first", object->name);
	return 0;
}

static int verb_start(struct object *object, const struct call *call, const struct cmd *cmd,
		      struct error *err)
{
	struct service *service = self(object);
	struct call within = cguest_call(object->guest, call->cancel);
	struct proc_service fresh = { 0 };
	int rc = service_refresh(service, &within, err);

	if (rc < 0)
		return rc;
	if (what_is_known(service) == RUNS)
		return error_set(err, EBUSY, "'%s' is running; stop it first", object->name);
	begin_start(service);
	rc = start_and_wait(service, call, cmd->argv[0], &fresh, err);
	if ((rc == -EIO || rc == -ETIMEDOUT) && fresh.state[0]) {
		struct call tail = cguest_call(object->guest, call->cancel);

		keep_stderr_tail(object, &tail, fresh.err_size);
	}
	end_start(service, &fresh);
	proc_service_free(&fresh);
	return rc;
}

static int verb_stop(struct object *object, const struct call *call, const struct cmd *cmd,
		     struct error *err)
{
	struct service *service = self(object);
	struct call within = cguest_call_long(object->guest, call->cancel, STOP_SECONDS);
	struct proc_service fresh = { 0 };
	int rc;

	(void)cmd;
	if (what_is_known(service) == NOT_IN_GUEST)
		return error_set(err, ENOENT, "'%s' was not started yet", object->name);
	rc = proc_service_stop(cguest_guest(object), &within, object->name, &fresh, err);
	if (rc == 0)
		service_update(service, &fresh);
	proc_service_free(&fresh);
	return rc;
}

int service_end(struct object *object, const struct call *call, struct error *err)
{
	struct service *service = self(object);
	struct call within = cguest_call(object->guest, call->cancel);
	int rc = service_refresh(service, &within, err);

	/* What has ended needs no stop, and no guest to say so. */
	if (what_is_known(service) != RUNS)
		return rc == -ENOTCONN ? 0 : rc;
	if (rc < 0)
		return rc;
	return verb_stop(object, call, NULL, err);
}

static const struct cmd_verb verbs[] = {
	JOB_VERBS,
	{ "ready", CMD_REST, 1, 1, 0,
	  "ready none | file PATH | tcp HOST:PORT | http URL | command CMD", verb_ready, NULL },
	{ "ready-timeout", CMD_PLAIN, 1, 1, 0, "ready-timeout SECONDS", verb_ready_timeout, NULL },
	{ "ready-interval", CMD_PLAIN, 1, 1, 0, "ready-interval MS", verb_ready_interval, NULL },
	{ "start", CMD_REST, 1, 1, CMD_REACHES | CMD_CHANGES, "start COMMAND...", verb_start,
	  NULL },
	{ "stop", CMD_PLAIN, 0, 0, CMD_REACHES | CMD_CHANGES, "stop", verb_stop, NULL },
};

static void retire(struct object *object, int gone)
{
	waitq_close(&self(object)->wait, gone);
}

static void free_service(struct object *object)
{
	struct service *service = self(object);

	settings_free(&service->job.settings);
	proc_service_free(&service->last);
	free(service->ready_value);
	waitq_destroy(&service->wait);
	free(service);
}

const struct object_type service_type = {
	.what = "service",
	.files = service_file_types,
	.count = SERVICE_FILES,
	.verbs = verbs,
	.verb_count = sizeof(verbs) / sizeof(verbs[0]),
	.poll = poll_service,
	.admit = admit,
	.retire = retire,
	.free = free_service,
};
