/* session_life.c - see session_conn.h: how a session begins and ends. */
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "protocol/agent/command.h"
#include "protocol/agent/session_conn.h"
#include "protocol/agent/session_watch.h"
#include "protocol/agent/workspace_path.h"

static bool on_stuck(void *arg)
{
	struct sess *sess = arg;

	return proc_line_stuck(sess->agent->procs, &sess->line);
}

static void on_room(void *arg)
{
	struct sess *sess = arg;

	proc_line_room(sess->agent->procs, &sess->line);
	sess_watch_on_room(sess);
}

int sess_open(struct agent *agent, int fd, const struct sess_client *client, struct sess *sess,
	      struct error *err)
{
	const struct sess_send_hooks hooks = { on_stuck, on_room, sess };
	struct timeval forever = { 0 };
	int rc;

	*sess = (struct sess){
		.agent = agent,
		.room = agent->sessions,
		.fd = fd,
		.root = -1,
		.client = *client,
	};
	sess->root = workspace_open(agent, err);
	if (sess->root < 0)
		return sess->root;
	sess_send_init(&sess->send, fd, &hooks);
	sess->line.send = &sess->send;
	rc = sess_room_enter(sess->room, sess, err);
	if (rc < 0) {
		sess_send_destroy(&sess->send);
		close(sess->root);
		return rc;
	}
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &forever, sizeof(forever));
	sess_table_init(&sess->calls);
	sess_handles_init(&sess->handles, sess_room_files(sess->room));
	return 0;
}

static void stop(struct sess_call *call, void *arg)
{
	(void)arg;
	sess_call_stop(call, false);
}

void sess_close(struct sess *sess)
{
	/* Nobody listens any more: what is under way ends soon, and then without an answer. */
	sess_send_kill(&sess->send);
	sess_table_each(&sess->calls, stop, NULL);
	sess_table_drain(&sess->calls);
	commands_leave(sess->agent->commands, sess);
	sess_handles_destroy(&sess->handles);
	sess_table_destroy(&sess->calls);
	sess_room_leave(sess->room, sess);
	proc_line_leave(sess->agent->procs, &sess->line);
	sess_send_destroy(&sess->send);
	close(sess->root);
}
