/*
 * proc_ready.c - whether a service is ready, asked in short requests.  See proc_ready.h.
 */
#include "protocol/line/proc_ready.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "protocol/cleanup.h"
#include "protocol/line/proc_ready_text.h"

#define HAS "has() { command -v \"$1\" >/dev/null 2>&1; }\n"

enum { CHECK_NO_CWD = 60, CHECK_CWD_FILE = 61, CHECK_NO_TOOL = 62 };

static int fill(struct proc_prober *prober, struct error *err)
{
	const char *value = prober->readiness->value;

	if (prober->readiness->kind == PROC_READY_NONE)
		return 0;
	if (!value || !*value)
		return error_set(err, EINVAL, "readiness needs a path, HOST:PORT, URL or command");
	switch (prober->readiness->kind) {
	case PROC_READY_FILE:
		/* Relative to the service's cwd, where the script is. */
		shtext_assign(&prober->inline_test, "f", value, strlen(value));
		buf_adds(&prober->inline_test, "case $f in -*) f=./$f;; esac; [ -e \"$f\" ]\n");
		return 0;
	case PROC_READY_TCP:
		buf_adds(&prober->command, HAS);
		return proc_text_tcp(value, &prober->inline_test, &prober->command, &prober->needs,
				     &prober->tools, err);
	case PROC_READY_HTTP:
		buf_adds(&prober->command, HAS);
		return proc_text_http(value, &prober->command, &prober->needs, &prober->tools, err);
	case PROC_READY_COMMAND:
		buf_adds(&prober->command, value);
		return 0;
	default:
		return error_set(err, EINVAL, "no such kind of readiness");
	}
}

int proc_prober_init(struct proc_prober *prober, struct guest *guest,
		     const struct proc_settings *settings, const struct proc_readiness *readiness,
		     struct error *err)
{
	int rc;

	*prober = (struct proc_prober){ .guest = guest,
					.settings = settings,
					.readiness = readiness,
					.inline_test = BUF_INIT(LIMIT_REQUEST_LINE),
					.command = BUF_INIT(LIMIT_REQUEST_LINE),
					.needs = BUF_INIT(LIMIT_REQUEST_LINE) };
	rc = fill(prober, err);
	if (!rc && (prober->inline_test.overflow || prober->command.overflow))
		rc = error_set(err, E2BIG, "the readiness is too long");
	return rc;
}

/* A script that begins in the service's cwd. */
static void begin(struct proc_prober *prober, struct buf *script)
{
	const char *cwd = proc_cwd(prober->settings);

	shtext_assign(script, "d", cwd, strlen(cwd));
	buf_adds(script, HAS PROC_SH_ALIVE);
}

int proc_prober_check(struct proc_prober *prober, const struct call *call, struct error *err)
{
	autobuf struct buf script = BUF_INIT(LIMIT_EXEC_COMMAND);
	const char *cwd = proc_cwd(prober->settings);
	struct shtext_reply reply;
	int rc;

	begin(prober, &script);
	buf_addf(&script, "[ -e \"$d\" ] || exit %d\n[ -d \"$d\" ] || exit %d\n", CHECK_NO_CWD,
		 CHECK_CWD_FILE);
	if (prober->needs.len)
		buf_addf(&script, "%s || exit %d\n", buf_str(&prober->needs), CHECK_NO_TOOL);
	rc = proc_script(prober->guest, call, TRAFFIC_SERVICE, &script, &reply, err);
	if (rc == CHECK_NO_CWD)
		rc = error_set(err, ENOENT, "the guest has no directory %s", cwd);
	else if (rc == CHECK_CWD_FILE)
		rc = error_set(err, ENOTDIR, "%s in the guest is not a directory", cwd);
	else if (rc == CHECK_NO_TOOL)
		rc = error_set(err, EOPNOTSUPP,
			       "the guest cannot probe %s: it has none of %s; install one, or use "
			       "ready command",
			       prober->readiness->value, prober->tools);
	else if (rc > 0)
		rc = shtext_failure(&reply, EIO, err);
	shtext_reply_free(&reply);
	return rc;
}

/* Alive, the guest's clock, and the inline test's answer. */
static int ask_inline(struct proc_prober *prober, const struct call *call, int64_t pid,
		      struct proc_probe *out, struct error *err)
{
	autobuf struct buf script = BUF_INIT(LIMIT_EXEC_COMMAND);
	struct shtext_reply reply;
	int alive = 0, ready = 0, rc;
	long long now = 0;

	begin(prober, &script);
	buf_addf(&script,
		 "a=0 r=0\n"
		 "cd \"$d\" 2>/dev/null && (\n%s) && r=1\n"
		 "alive %lld && a=1\n"
		 "echo $a $r $(date +%%s)\n",
		 prober->inline_test.len ? buf_str(&prober->inline_test) : "false\n",
		 (long long)pid);
	rc = proc_script(prober->guest, call, TRAFFIC_SERVICE, &script, &reply, err);
	if (rc > 0)
		rc = shtext_failure(&reply, EIO, err);
	else if (rc == 0 && sscanf(reply.out, "%9d %9d %18lld", &alive, &ready, &now) != 3)
		rc = error_set(err, EPROTO, "the guest says nothing sensible of the service");
	if (rc == 0)
		*out = (struct proc_probe){ alive == 1, ready == 1, (double)now };
	shtext_reply_free(&reply);
	return rc;
}

static int start_try(struct proc_prober *prober, const struct call *call, struct error *err)
{
	static const struct proc_settings plain = { .cwd = "/" };
	bool own = prober->readiness->kind == PROC_READY_COMMAND;

	return lproc_command_start(prober->guest, call, buf_str(&prober->command),
				   own ? prober->settings : &plain, -1, 0, PROC_PROBE_SECONDS,
				   &prober->running, err);
}

static int ask_detached(struct proc_prober *prober, const struct call *call, bool *ready,
			struct error *err)
{
	struct proc_command_status status;
	int rc = 0;

	if (!prober->running)
		return start_try(prober, call, err);
	rc = lproc_command_status(prober->running, call, &status, err);
	if (rc || !status.ended)
		return rc;
	*ready = status.exit_code == 0;
	lproc_command_free(move_ptr(prober->running), call);
	return 0;
}

int proc_prober_ask(struct proc_prober *prober, const struct call *call, int64_t pid,
		    struct proc_probe *out, struct error *err)
{
	int rc = ask_inline(prober, call, pid, out, err);

	if (rc || !out->alive || prober->inline_test.len || !prober->command.len)
		return rc;
	return ask_detached(prober, call, &out->ready, err);
}

void proc_prober_end(struct proc_prober *prober, const struct call *call)
{
	if (prober->running)
		lproc_command_free(move_ptr(prober->running), call);
	buf_free(&prober->inline_test);
	buf_free(&prober->command);
	buf_free(&prober->needs);
}
