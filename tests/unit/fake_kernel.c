/*
 * fake_kernel.c - what a kernel and the usual programs do with a tree's nodes; see fake_host.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/cleanup.h"
#include "tests/unit/cmocka_all.h"
#include "tests/unit/fake_host.h"

static struct call soon(void)
{
	return call_within(5, NULL);
}

struct vnode *fake_walk(struct vnode *root, const char *path, int *rc)
{
	autofree char *copy = strdup(path);
	struct vnode *node = vn_ref(root);
	struct call call = soon();
	char *rest = copy;

	*rc = 0;
	for (char *name = strsep(&rest, "/"); name && *name; name = strsep(&rest, "/")) {
		struct vnode *child = NULL;
		struct vn_attr attr;

		*rc = node->ops->lookup ? node->ops->lookup(node, &call, name, &child, &attr) :
					  -ENOTDIR;
		vn_unref(node);
		if (*rc < 0)
			return NULL;
		node = child;
	}
	return node;
}

int fake_open(struct vnode *root, const char *path, int flags, struct fake_file *out)
{
	struct call call = soon();
	struct stat zero = { 0 };
	struct vn_attr attr;
	int rc;

	*out = (struct fake_file){ .node = fake_walk(root, path, &rc) };
	if (!out->node)
		return rc;
	out->file.flags = flags & ~O_TRUNC;
	if (flags & O_TRUNC)
		rc = out->node->ops->setattr(out->node, &call, NULL, VN_SET_SIZE, &zero, &attr);
	if (rc == 0)
		rc = out->node->ops->open(out->node, &call, &out->file);
	if (rc < 0) {
		vn_unref(out->node);
		out->node = NULL;
	}
	return rc;
}

int fake_close(struct fake_file *file)
{
	const struct vnode_ops *ops = file->node->ops;
	struct call call = soon();
	int rc = ops->flush ? ops->flush(file->node, &call, &file->file) : 0;

	if (ops->release)
		ops->release(file->node, &call, &file->file);
	vn_unref(file->node);
	return rc;
}

ssize_t fake_write(struct fake_file *file, const char *text)
{
	struct call call = soon();

	return file->node->ops->write(file->node, &call, &file->file, 0, text, strlen(text));
}

int fake_echo(struct vnode *root, const char *path, const char *text)
{
	struct fake_file file;
	int rc = fake_open(root, path, O_WRONLY | O_TRUNC, &file);
	ssize_t put;
	int closed;

	if (rc < 0)
		return rc;
	put = fake_write(&file, text);
	closed = fake_close(&file);
	return put < 0 ? (int)put : closed;
}

struct vn_req *fake_read(struct fake_file *file, int64_t offset, size_t len)
{
	struct vn_req *req = calloc(1, sizeof(*req));
	autofree char *bytes = malloc(len + 1);
	ssize_t got;

	cancel_init(&req->cancel);
	req->call = call_within(5, &req->cancel);
	pthread_mutex_init(&req->lock, NULL);
	pthread_cond_init(&req->changed, NULL);
	got = file->node->ops->read(file->node, req, &file->file, offset, bytes, len);
	if (got == VN_PARKED)
		return req;
	pthread_mutex_lock(&req->lock);
	if (req->parked)
		abort();
	req->finished = true;
	req->result = got;
	if (got > 0)
		req->bytes = strndup(bytes, (size_t)got);
	pthread_mutex_unlock(&req->lock);
	return req;
}

bool fake_parked(struct vn_req *req)
{
	bool parked;

	pthread_mutex_lock(&req->lock);
	parked = req->parked && !req->finished;
	pthread_mutex_unlock(&req->lock);
	return parked;
}

void fake_interrupt(struct vn_req *req)
{
	cancel_fire(&req->cancel);
	if (req->cancelled)
		req->cancelled(req->arg, req);
}

ssize_t fake_finish(struct vn_req *req, char **text)
{
	struct timespec until;
	ssize_t result;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 5;
	pthread_mutex_lock(&req->lock);
	while (!req->finished)
		if (pthread_cond_timedwait(&req->changed, &req->lock, &until) == ETIMEDOUT)
			abort(); /* nobody finished it */
	result = req->result;
	if (text)
		*text = move_ptr(req->bytes);
	free(req->bytes);
	pthread_mutex_unlock(&req->lock);
	pthread_cond_destroy(&req->changed);
	pthread_mutex_destroy(&req->lock);
	cancel_destroy(&req->cancel);
	free(req);
	return result;
}

char *fake_cat(struct vnode *root, const char *path)
{
	char *all = calloc(1, 1);
	struct fake_file file;
	size_t len = 0;
	ssize_t got;

	errno = -fake_open(root, path, O_RDONLY, &file);
	if (errno) {
		free(all);
		return NULL;
	}
	do {
		char *text = NULL;

		/* In small pieces: they have to agree with each other. */
		got = fake_finish(fake_read(&file, (int64_t)len, 100), &text);
		if (got > 0) {
			char *more = realloc(all, len + (size_t)got + 1);

			assert_non_null(more);
			all = more;
			memcpy(all + len, text, (size_t)got);
			len += (size_t)got;
			all[len] = '\0';
		}
		free(text);
	} while (got > 0);
	fake_close(&file);
	if (got < 0) {
		free(all);
		errno = (int)-got;
		return NULL;
	}
	return all;
}

char *fake_key(struct vnode *root, const char *path, const char *key)
{
	autofree char *text = fake_cat(root, path);
	char *rest = text;
	size_t len = strlen(key);

	for (char *line = strsep(&rest, "\n"); line; line = strsep(&rest, "\n"))
		if (strncmp(line, key, len) == 0 && line[len] == ' ')
			return strdup(line + len + 1);
	return NULL;
}

/* The directory that PATH's last name is in. */
static struct vnode *parent_of(struct vnode *root, const char *path, const char **name, int *rc)
{
	const char *slash = strrchr(path, '/');
	autofree char *dir = strndup(path, slash ? (size_t)(slash - path) : 0);

	*name = slash ? slash + 1 : path;
	return fake_walk(root, dir, rc);
}

int fake_mkdir(struct vnode *root, const char *path)
{
	struct vnode *child = NULL;
	struct call call = soon();
	struct vn_attr attr;
	const char *name;
	int rc;
	struct vnode *dir = parent_of(root, path, &name, &rc);

	if (!dir)
		return rc;
	/* The kernel looks first. */
	rc = dir->ops->lookup(dir, &call, name, &child, &attr);
	if (rc == -ENOENT) {
		rc = dir->ops->mkdir ? dir->ops->mkdir(dir, &call, name, 0755, &child, &attr) :
				       -EPERM;
	} else if (rc == 0) {
		rc = -EEXIST;
	}
	if (child)
		vn_unref(child);
	vn_unref(dir);
	return rc;
}

int fake_rmdir(struct vnode *root, const char *path)
{
	struct call call = soon();
	const char *name;
	int rc;
	struct vnode *dir = parent_of(root, path, &name, &rc);

	if (!dir)
		return rc;
	rc = dir->ops->rmdir ? dir->ops->rmdir(dir, &call, name) : -EPERM;
	vn_unref(dir);
	return rc;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Its names, sorted, joined in OUT. */
static void join(const struct vn_dir *dir, char *out)
{
	char **names = calloc(dir->count + 1, sizeof(*names));
	struct vn_dir_reader reader;
	struct vn_dirent entry;
	size_t count = 0;

	if (vn_dir_seek(&reader, dir, 0) == 0)
		while (vn_dir_next(&reader, &entry) > 0)
			names[count++] = strdup(entry.name);
	vn_dir_done(&reader);
	qsort(names, count, sizeof(*names), by_name);
	for (size_t i = 0; i < count; i++) {
		sprintf(out + strlen(out), "%s%s", i ? " " : "", names[i]);
		free(names[i]);
	}
	free(names);
}

char *fake_ls(struct vnode *root, const char *path)
{
	struct vn_dir dir = { 0 };
	struct call call = soon();
	char *out = calloc(1, 65536);
	int rc;
	struct vnode *node = fake_walk(root, path, &rc);

	if (!node || node->ops->list(node, &call, &dir) < 0) {
		free(out);
		out = NULL;
	}
	if (out)
		join(&dir, out);
	vn_dir_free(&dir);
	if (node)
		vn_unref(node);
	return out;
}

int64_t fake_size(struct vnode *root, const char *path)
{
	struct call call = soon();
	struct vn_attr attr;
	int rc;
	struct vnode *node = fake_walk(root, path, &rc);

	if (!node)
		return rc;
	rc = node->ops->getattr(node, &call, NULL, &attr);
	vn_unref(node);
	return rc < 0 ? rc : attr.st.st_size;
}
