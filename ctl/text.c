/*
 * text.c - see text.h.
 */
#include "ctl/text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/cleanup.h"
#include "protocol/utf8.h"

void text_escape(struct buf *out, const char *value)
{
	for (const char *p = value, *end = value + strlen(value); p < end;) {
		size_t used = utf8_visible(p, (size_t)(end - p));

		if (*p == '\n')
			buf_adds(out, "\\n");
		else if (*p == '\t')
			buf_adds(out, "\\t");
		else if (*p == '\\')
			buf_adds(out, "\\\\");
		else if (!used)
			buf_addf(out, "\\x%02x", (unsigned char)*p);
		else
			buf_add(out, p, used);
		p += used ? used : 1;
	}
}

void text_str(struct buf *out, const char *key, const char *value)
{
	if (!value) {
		text_null(out, key);
		return;
	}
	buf_addf(out, "%s ", key);
	text_escape(out, value);
	buf_adds(out, "\n");
}

void text_int(struct buf *out, const char *key, int64_t value)
{
	buf_addf(out, "%s %" PRId64 "\n", key, value);
}

void text_null(struct buf *out, const char *key)
{
	buf_addf(out, "%s null\n", key);
}

void text_time(struct buf *out, const char *key, double seconds)
{
	if (seconds > 0)
		buf_addf(out, "%s %.3f\n", key, seconds);
	else
		text_null(out, key);
}

ssize_t text_slice(const char *data, size_t size, int64_t offset, void *bytes, size_t len)
{
	if (offset < 0)
		return -EINVAL;
	if ((uint64_t)offset >= size)
		return 0;
	if (len > size - (size_t)offset)
		len = size - (size_t)offset;
	memcpy(bytes, data + offset, len);
	return (ssize_t)len;
}

void text_snapshot_init(struct text_snapshot *snapshot)
{
	*snapshot = (struct text_snapshot){ .data = NULL };
	pthread_mutex_init(&snapshot->lock, NULL);
}

void text_snapshot_destroy(struct text_snapshot *snapshot)
{
	free(snapshot->data);
	pthread_mutex_destroy(&snapshot->lock);
}

/* Makes the text, which may ask the guest; no lock is held meanwhile. */
static int make_text(const struct node *node, const struct call *call, char **data, size_t *len)
{
	autobuf struct buf text = BUF_INIT(LIMIT_TEXT_SNAPSHOT);
	int rc = node->file->text(node->object, call, &text, NULL);

	if (rc < 0)
		return rc;
	if (text.overflow)
		return -EFBIG;
	*len = text.len;
	*data = text.len ? buf_steal(&text) : strdup("");
	return *data ? 0 : -ENOMEM;
}

ssize_t text_snapshot_read(struct text_snapshot *snapshot, const struct node *node,
			   const struct call *call, int64_t offset, void *bytes, size_t len)
{
	ssize_t rc;
	bool fresh;

	pthread_mutex_lock(&snapshot->lock);
	fresh = offset == 0 || !snapshot->data;
	pthread_mutex_unlock(&snapshot->lock);
	if (fresh) {
		char *data = NULL;
		size_t size = 0;

		rc = make_text(node, call, &data, &size);
		if (rc < 0)
			return rc;
		pthread_mutex_lock(&snapshot->lock);
		free(snapshot->data);
		snapshot->data = data;
		snapshot->len = size;
		pthread_mutex_unlock(&snapshot->lock);
	}
	pthread_mutex_lock(&snapshot->lock);
	rc = text_slice(snapshot->data, snapshot->len, offset, bytes, len);
	pthread_mutex_unlock(&snapshot->lock);
	return rc;
}

static int text_getattr(struct vnode *vnode, const struct call *call, struct vn_file *file,
			struct vn_attr *attr)
{
	struct node *node = node_of(vnode);
	autofree char *data = NULL;
	size_t len = 0;
	int rc = tree_getattr(vnode, call, file, attr);

	/* A text that costs a question has no size, as in /proc; the others show the true one. */
	if (rc == 0 && !node->file->asks && make_text(node, call, &data, &len) == 0)
		attr->st.st_size = (off_t)len;
	return rc;
}

static int text_open(struct vnode *vnode, const struct call *call, struct vn_file *file)
{
	struct text_snapshot *snapshot;
	int rc = tree_check(node_of(vnode)->object);

	(void)call;
	if (rc < 0)
		return rc;
	if ((file->flags & O_ACCMODE) != O_RDONLY)
		return -EACCES;
	snapshot = malloc(sizeof(*snapshot));
	if (!snapshot)
		return -ENOMEM;
	text_snapshot_init(snapshot);
	file->priv = snapshot;
	file->direct_io = true;
	return 0;
}

static ssize_t text_read(struct vnode *vnode, struct vn_req *req, struct vn_file *file,
			 int64_t offset, void *bytes, size_t len)
{
	int rc = tree_check(node_of(vnode)->object);

	if (rc < 0)
		return rc;
	return text_snapshot_read(file->priv, node_of(vnode), vn_req_call(req), offset, bytes, len);
}

static void text_release(struct vnode *vnode, const struct call *call, struct vn_file *file)
{
	(void)vnode;
	(void)call;
	text_snapshot_destroy(file->priv);
	free(file->priv);
}

const struct vnode_ops text_ops = {
	.getattr = text_getattr,
	.setattr = tree_setattr,
	.open = text_open,
	.read = text_read,
	.release = text_release,
	.drop = tree_drop,
};

int text_error_file(struct object *object, const struct call *call, struct buf *out,
		    struct error *err)
{
	(void)call;
	(void)err;
	pthread_mutex_lock(&object->lock);
	if (object->error)
		buf_adds(out, object->error);
	pthread_mutex_unlock(&object->lock);
	return 0;
}
