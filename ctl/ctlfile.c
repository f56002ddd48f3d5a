/*
 * ctlfile.c - see ctlfile.h.
 */
#include "ctl/ctlfile.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/guest.h"
#include "ctl/text.h"
#include "ctl/tree_internal.h"
#include "protocol/cleanup.h"

/* One open ctl file. */
struct ctl_open {
	struct object *object; /* a reference */
	bool cloned;           /* reading gives the name */
	struct vlock lock;     /* writes of one open file come one after the other */
	struct buf partial;    /* lock; the beginning of a line */
	unsigned line;         /* lock; lines so far */
	int failed;            /* lock; of a line since the last flush, 0 or -errno */
	struct text_snapshot snapshot;
};

static int open_object(struct object *object, bool cloned, struct vn_file *file)
{
	struct ctl_open *ctl = calloc(1, sizeof(*ctl));

	if (!ctl)
		return -ENOMEM;
	ctl->object = tree_ref(object);
	ctl->cloned = cloned;
	vlock_init(&ctl->lock);
	buf_init(&ctl->partial, LIMIT_CTL_LINE);
	text_snapshot_init(&ctl->snapshot);
	file->priv = ctl;
	file->direct_io = true;
	return 0;
}

static int ctl_open(struct vnode *vnode, const struct call *call, struct vn_file *file)
{
	struct object *object = node_of(vnode)->object;
	int rc = tree_check(object);

	(void)call;
	return rc < 0 ? rc : open_object(object, false, file);
}

static int clone_open(struct vnode *vnode, const struct call *call, struct vn_file *file)
{
	struct object *dir = node_of(vnode)->object;
	struct object *member;
	struct error err = { 0 };
	int rc = tree_check(dir);

	(void)call;
	if (rc < 0)
		return rc;
	rc = tree_add_numbered(dir, &member, &err);
	if (rc < 0) {
		error_wrap(&err, rc, "clone in %s", dir->name);
		tree_set_error(cguest_object(dir->guest), &err);
		return rc;
	}
	rc = open_object(member, true, file);
	if (rc < 0)
		tree_retire(member, ENOENT);
	tree_unref(member);
	return rc;
}

static void ctl_release(struct vnode *vnode, const struct call *call, struct vn_file *file)
{
	struct ctl_open *ctl = file->priv;

	(void)vnode;
	(void)call;
	text_snapshot_destroy(&ctl->snapshot);
	buf_free(&ctl->partial);
	vlock_destroy(&ctl->lock);
	tree_unref(ctl->object);
	free(ctl);
}

static ssize_t ctl_read(struct vnode *vnode, struct vn_req *req, struct vn_file *file,
			int64_t offset, void *bytes, size_t len)
{
	struct ctl_open *ctl = file->priv;
	char name[LIMIT_ENTITY_NAME + 2];
	int rc = tree_check(ctl->object);

	if (rc < 0)
		return rc;
	if (!ctl->cloned)
		return text_snapshot_read(&ctl->snapshot, node_of(vnode), vn_req_call(req), offset,
					  bytes, len);
	snprintf(name, sizeof(name), "%s\n", ctl->object->name);
	return text_slice(name, strlen(name), offset, bytes, len);
}

static int ctl_getattr(struct vnode *vnode, const struct call *call, struct vn_file *file,
		       struct vn_attr *attr)
{
	struct node *node = node_of(vnode);
	autobuf struct buf text = BUF_INIT(LIMIT_TEXT_SNAPSHOT);
	int rc = tree_getattr(vnode, call, file, attr);

	if (rc == 0 && node->file->text && node->file->text(node->object, call, &text, NULL) == 0)
		attr->st.st_size = (off_t)text.len;
	return rc;
}

/* The verb itself, with what goes before and after it. */
static int run_verb(struct object *object, const struct call *call, const struct cmd *cmd,
		    struct error *err)
{
	struct call forever = call_extend(call, 1e9);
	int rc = tree_admit(object, cmd->verb, err);

	if (rc < 0)
		return rc;
	rc = vlock_take(&object->verbs, &forever);
	if (rc < 0)
		return error_set(err, -rc, "interrupted while another verb was running");
	rc = tree_check(object);
	if (rc < 0)
		error_set(err, -rc, "this %s is gone", object->type->what);
	if (rc == 0 && (cmd->verb->flags & CMD_REACHES) && cguest_of(object))
		rc = cguest_sync(cguest_of(object), call, err);
	if (rc == 0)
		rc = cmd->verb->run(object, call, cmd, err);
	vlock_release(&object->verbs);
	if (rc == 0 && cmd->verb->wait)
		rc = cmd->verb->wait(object, call, err);
	/* Also after a failure: it may have changed files first. */
	if ((cmd->verb->flags & CMD_CHANGES) && cguest_of(object))
		cguest_changed(cguest_of(object), NULL);
	return rc;
}

/* ctl->lock held. */
static int run_line(struct ctl_open *ctl, const struct call *call, const char *line, size_t len)
{
	struct object *object = ctl->object;
	struct error err = { 0 };
	struct cmd cmd;
	int rc;

	ctl->line++;
	rc = cmd_parse(object->type->verbs, object->type->verb_count, line, len, &cmd, &err);
	if (rc == 0 && cmd.verb) {
		rc = run_verb(object, call, &cmd, &err);
		error_wrap(&err, rc, "%s", cmd.verb->name);
	}
	cmd_free(&cmd);
	if (rc == 0)
		return 0;
	error_wrap(&err, rc, "line %u", ctl->line);
	tree_set_error(object, &err);
	return rc;
}

/* Adds what is behind the last newline to the line that was begun.  ctl->lock held. */
static int keep_partial(struct ctl_open *ctl, const char *bytes, size_t len)
{
	struct error err = { 0 };

	buf_add(&ctl->partial, bytes, len);
	if (!ctl->partial.overflow)
		return 0;
	buf_free(&ctl->partial);
	error_set(&err, EINVAL, "line %u: longer than %u bytes", ctl->line + 1, LIMIT_CTL_LINE);
	tree_set_error(ctl->object, &err);
	return -EINVAL;
}

/*
 * Runs the whole lines in BYTES, the first of which may have begun earlier.  A shell's printf may
 * give each line a write(2) of its own and go on after one that failed, so what stops the rest
 * has to outlast the write.  ctl->lock held.
 */
static int run_lines(struct ctl_open *ctl, const struct call *call, const char *bytes, size_t len)
{
	const char *end = bytes + len;
	const char *newline;
	bool ran = false;
	int rc = ctl->failed;

	while (rc == 0 && (newline = memchr(bytes, '\n', (size_t)(end - bytes)))) {
		rc = keep_partial(ctl, bytes, (size_t)(newline - bytes));
		if (rc == 0)
			rc = run_line(ctl, call, buf_str(&ctl->partial), ctl->partial.len);
		buf_free(&ctl->partial);
		bytes = newline + 1;
		ran = true;
	}
	if (rc == 0)
		rc = keep_partial(ctl, bytes, (size_t)(end - bytes));
	if (rc == 0 && ran)
		tree_set_error(ctl->object, NULL);
	ctl->failed = rc;
	return rc;
}

static int lock_open(struct ctl_open *ctl, const struct call *call)
{
	struct call forever = call_extend(call, 1e9);

	return vlock_take(&ctl->lock, &forever);
}

static ssize_t ctl_write(struct vnode *vnode, const struct call *call, struct vn_file *file,
			 int64_t offset, const void *bytes, size_t len)
{
	struct ctl_open *ctl = file->priv;
	int rc = tree_check(ctl->object);

	(void)vnode;
	(void)offset;
	if (rc == 0)
		rc = lock_open(ctl, call);
	if (rc < 0)
		return rc;
	rc = run_lines(ctl, call, bytes, len);
	vlock_release(&ctl->lock);
	return rc < 0 ? rc : (ssize_t)len;
}

static int ctl_flush(struct vnode *vnode, const struct call *call, struct vn_file *file)
{
	struct ctl_open *ctl = file->priv;
	int rc = lock_open(ctl, call);

	(void)vnode;
	if (rc < 0)
		return rc;
	if (ctl->partial.len > 0)
		rc = run_lines(ctl, call, "\n", 1);
	ctl->failed = 0;
	vlock_release(&ctl->lock);
	return rc;
}

const struct vnode_ops ctl_ops = {
	.getattr = ctl_getattr,
	.setattr = tree_setattr,
	.open = ctl_open,
	.read = ctl_read,
	.write = ctl_write,
	.flush = ctl_flush,
	.release = ctl_release,
	.drop = tree_drop,
};

const struct vnode_ops clone_ops = {
	.getattr = tree_getattr,
	.setattr = tree_setattr,
	.open = clone_open,
	.read = ctl_read,
	.write = ctl_write,
	.flush = ctl_flush,
	.release = ctl_release,
	.drop = tree_drop,
};
