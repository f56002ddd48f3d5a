/*
 * fake_host.c - see fake_host.h.
 */
#include "tests/unit/fake_host.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/cleanup.h"
#include "protocol/guest.h"

/* The log */

static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;
static char log_text[8192];

void fake_log(const char *format, ...)
{
	va_list args;
	size_t len;

	pthread_mutex_lock(&log_lock);
	len = strlen(log_text);
	if (len + 128 < sizeof(log_text)) {
		if (len > 0)
			len += (size_t)sprintf(log_text + len, ", ");
		va_start(args, format);
		vsnprintf(log_text + len, sizeof(log_text) - len, format, args);
		va_end(args);
	}
	pthread_mutex_unlock(&log_lock);
}

const char *fake_log_take(void)
{
	static char taken[sizeof(log_text)];

	pthread_mutex_lock(&log_lock);
	strcpy(taken, log_text);
	log_text[0] = '\0';
	pthread_mutex_unlock(&log_lock);
	return taken;
}

/* vnode.h, the part that fs/ implements */

void vn_init(struct vnode *node, const struct vnode_ops *ops)
{
	node->ops = ops;
	node->lookups = 0;
	atomic_init(&node->refs, 1);
}

struct vnode *vn_ref(struct vnode *node)
{
	if (atomic_fetch_add(&node->refs, 1) == 0)
		abort(); /* a reference out of nothing */
	return node;
}

void vn_unref(struct vnode *node)
{
	unsigned before = atomic_fetch_sub(&node->refs, 1);

	if (before == 0)
		abort();
	if (before == 1)
		node->ops->drop(node);
}

const struct call *vn_req_call(struct vn_req *req)
{
	return &req->call;
}

void vn_req_park(struct vn_req *req, void (*cancelled)(void *arg, struct vn_req *req), void *arg)
{
	pthread_mutex_lock(&req->lock);
	if (req->parked || req->finished)
		abort();
	req->parked = true;
	req->cancelled = cancelled;
	req->arg = arg;
	pthread_mutex_unlock(&req->lock);
}

void vn_req_finish(struct vn_req *req, const void *bytes, ssize_t result)
{
	pthread_mutex_lock(&req->lock);
	/* Exactly once, and only what was parked. */
	if (!req->parked || req->finished)
		abort();
	req->finished = true;
	req->result = result;
	if (result > 0)
		req->bytes = strndup(bytes, (size_t)result);
	pthread_cond_broadcast(&req->changed);
	pthread_mutex_unlock(&req->lock);
}

void vn_poll_wake(struct vn_poll *poll)
{
	if (poll->woken)
		__atomic_store_n(poll->woken, true, __ATOMIC_SEQ_CST);
	free(poll);
}

void vn_poll_free(struct vn_poll *poll)
{
	free(poll);
}

/* The host's callbacks */

static atomic_int mirrors;

static int mirror_getattr(struct vnode *node, const struct call *call, struct vn_file *file,
			  struct vn_attr *attr)
{
	(void)node;
	(void)call;
	(void)file;
	*attr = (struct vn_attr){ .valid = 1 };
	attr->st.st_ino = 1;
	attr->st.st_mode = S_IFDIR | 0755;
	return 0;
}

static void mirror_drop(struct vnode *node)
{
	atomic_fetch_sub(&mirrors, 1);
	free(node);
}

static const struct vnode_ops mirror_ops = { .getattr = mirror_getattr, .drop = mirror_drop };

static int make_mirror(void *arg, struct guest *guest, struct vnode **root)
{
	(void)arg;
	(void)guest;
	*root = calloc(1, sizeof(**root));
	vn_init(*root, &mirror_ops);
	atomic_fetch_add(&mirrors, 1);
	return 0;
}

int fake_mirrors_alive(void)
{
	return atomic_load(&mirrors);
}

static void invalidate(void *arg, struct vnode *mirror, const char *path)
{
	(void)arg;
	(void)mirror;
	fake_log("invalidate%s%s", path ? " " : "", path ? path : "");
}

static void entry_changed(void *arg, struct vnode *dir, const char *name)
{
	(void)arg;
	(void)dir;
	fake_log("entry %s", name);
}

struct vn_host fake_host(void)
{
	static const struct guest_options options = { .timeout = 1, .max_connections = 1 };

	return (struct vn_host){
		.mirror = make_mirror,
		.invalidate = invalidate,
		.entry_changed = entry_changed,
		.guest_options = &options,
		.uid = 4321,
		.gid = 1234,
	};
}
