/*
 * proc_room.c - what services, shells and commands share: the room, checks, errors, files.
 */
#include "protocol/line/proc_room.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/cleanup.h"
#include "protocol/line/proc_undo.h"

int lproc_room_new(struct guest *guest, struct lproc_room **out, struct error *err)
{
	struct lproc_room *room = calloc(1, sizeof(*room));

	if (!room)
		return error_set(err, ENOMEM, "out of memory");
	room->guest = guest;
	pthread_mutex_init(&room->lock, NULL);
	pthread_cond_init(&room->undone, NULL);
	cancel_init(&room->ending);
	*out = room;
	return 0;
}

void lproc_room_free(struct lproc_room *room)
{
	struct proc_note *note, *next;

	if (!room)
		return;
	proc_undo_stop(room);
	if (room->used) {
		struct call call = guest_call(room->guest, NULL);

		proc_command_sweep(room->guest, &call);
	}
	note = room->notes;
	HASH_CLEAR(hh, room->notes); /* the table; the notes are still a list */
	for (; note; note = next) {
		next = note->hh.next;
		free(note);
	}
	cancel_destroy(&room->ending);
	pthread_cond_destroy(&room->undone);
	pthread_mutex_destroy(&room->lock);
	free(room);
}

bool proc_note_get(struct lproc_room *room, const char *name, struct proc_note *out)
{
	struct proc_note *note;

	pthread_mutex_lock(&room->lock);
	HASH_FIND_STR(room->notes, name, note);
	if (note)
		*out = *note;
	pthread_mutex_unlock(&room->lock);
	return note;
}

int proc_note_put(struct lproc_room *room, const struct proc_note *note, struct error *err)
{
	struct proc_note *copy = malloc(sizeof(*copy)), *old;

	if (!copy)
		return error_set(err, ENOMEM, "out of memory");
	*copy = *note;
	pthread_mutex_lock(&room->lock);
	HASH_REPLACE_STR(room->notes, name, copy, old);
	pthread_mutex_unlock(&room->lock);
	free(old);
	return 0;
}

int proc_check_name(const char *what, const char *name, struct error *err)
{
	size_t len = strlen(name);
	bool good = len >= 1 && len <= LIMIT_ENTITY_NAME && isalnum((unsigned char)name[0]);

	for (size_t i = 0; good && i < len; i++)
		good = isalnum((unsigned char)name[i]) || strchr("._-", name[i]);
	if (good)
		return 0;
	return error_set(err, EINVAL,
			 "'%s' cannot name a %s: 1 to %d letters, digits, '.', '_', '-', the first "
			 "a letter or digit",
			 name, what, LIMIT_ENTITY_NAME);
}

int proc_check_env(const struct proc_settings *settings, struct error *err)
{
	if (settings->cwd && settings->cwd[0] != '/')
		return error_set(err, EINVAL, "the working directory '%s' is not an absolute path",
				 settings->cwd);
	if (settings->env_count > LIMIT_ENV_VALUES)
		return error_set(err, EINVAL, "more than %d variables", LIMIT_ENV_VALUES);
	for (size_t i = 0; i < settings->env_count; i++) {
		const char *name = settings->env[i].name;
		size_t len = strlen(name);
		bool good = len >= 1 && len <= LIMIT_ENV_NAME && !isdigit((unsigned char)name[0]);

		for (size_t k = 0; good && k < len; k++)
			good = isalnum((unsigned char)name[k]) || name[k] == '_';
		if (!good)
			return error_set(err, EINVAL, "'%s' cannot name a variable", name);
	}
	return 0;
}

const char *proc_cwd(const struct proc_settings *settings)
{
	return settings->cwd ? settings->cwd : "/workspace";
}

struct line_env *proc_line_env(const struct proc_settings *settings)
{
	struct line_env *env = calloc(settings->env_count + 1, sizeof(*env));

	for (size_t i = 0; env && i < settings->env_count; i++)
		env[i] = (struct line_env){ settings->env[i].name, settings->env[i].value };
	return env;
}

/* What agents say, in the words of the ones that are known. */
static const struct {
	const char *text;
	int code;
} agent_texts[] = {
	{ "already running", EBUSY }, { "is running", EBUSY },       { "already exists", EEXIST },
	{ "already open", EEXIST },   { "already in use", EEXIST },  { "does not exist", ENOENT },
	{ "unknown shell", ENOENT },  { "unknown service", ENOENT }, { "not found", ENOENT },
	{ "is not running", EBUSY },  { "must be", EINVAL },         { "invalid", EINVAL },
};

int proc_error(int rc, struct error *err)
{
	struct error nowhere = { .code = EIO };
	int code;

	if (rc != -EREMOTEIO)
		return rc;
	if (!err)
		err = &nowhere;
	/* An OSError of Python's; these numbers are the same on every Linux that has an agent. */
	if (sscanf(err->text, "[Errno %4d]", &code) == 1 && code > 0 && code <= EHWPOISON) {
		err->code = code;
		return -code;
	}
	for (size_t i = 0; i < sizeof(agent_texts) / sizeof(*agent_texts); i++) {
		if (strcasestr(err->text, agent_texts[i].text)) {
			err->code = agent_texts[i].code;
			return -err->code;
		}
	}
	err->code = error_from_text(err->text, EIO);
	return -err->code;
}

int proc_script(struct guest *guest, const struct call *call, enum traffic_kind kind,
		const struct buf *script, struct shtext_reply *reply, struct error *err)
{
	int rc = shtext_run(guest, call, kind, script, reply, err);

	return rc ? rc : reply->status;
}

/*
 * dd reads a range of any file at once; where it is too old to skip bytes, tail and
 * head do.  A file that has shrunk gives nothing.
 */
ssize_t proc_range_read(struct guest *guest, const struct call *call, const char *find,
			int64_t offset, void *bytes, size_t len, struct error *err)
{
	autobuf struct buf script = BUF_INIT(LIMIT_EXEC_COMMAND);
	struct shtext_reply reply;
	ssize_t rc;

	if (offset < 0)
		return error_set(err, EINVAL, "a negative offset");
	if (len == 0)
		return 0;
	if (len > PROC_READ_MAX)
		len = PROC_READ_MAX;
	buf_adds(&script, find);
	buf_addf(&script,
		 "[ -f \"$f\" ] || exit 3\n"
		 "dd if=\"$f\" bs=65536 iflag=skip_bytes,count_bytes skip=%lld count=%zu "
		 "2>/dev/null ||\n"
		 "tail -c +%lld \"$f\" | head -c %zu\n",
		 (long long)offset, len, (long long)offset + 1, len);
	rc = proc_script(guest, call, TRAFFIC_OUTPUT, &script, &reply, err);
	if (rc == 3)
		rc = error_set(err, ENOENT, "the guest has no such output (any more)");
	else if (rc > 0)
		rc = shtext_failure(&reply, EIO, err);
	else if (rc == 0 && reply.out_len > len)
		rc = error_set(err, EPROTO, "the guest sent more bytes than were asked for");
	if (rc == 0) {
		memcpy(bytes, reply.out, reply.out_len);
		rc = (ssize_t)reply.out_len;
	}
	shtext_reply_free(&reply);
	return rc;
}
