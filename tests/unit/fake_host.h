/*
 * fake_host.h - a vnode host without a kernel: walks, opens, reads and writes the
 * nodes of a tree as fs/ would, and keeps what was parked until it is finished.
 */
#ifndef VSOCKFS_TESTS_FAKE_HOST_H
#define VSOCKFS_TESTS_FAKE_HOST_H

#include <pthread.h>
#include <stdbool.h>

#include "fs/vnode.h"

/* What happened at the host and the fake guest, in order: "sync", "start app", "invalidate". */
void fake_log(const char *format, ...) __attribute__((format(printf, 1, 2)));
/*
 * The log since the last call, entries joined by ", "; owned by the fake, valid until the next
 * call.
 */
const char *fake_log_take(void);

/* A host struct whose callbacks log; guest options with a `timeout` of 1 s. */
struct vn_host fake_host(void);
/* Vnodes that were made and not dropped: the mirrors. */
int fake_mirrors_alive(void);

struct vn_req {
	struct cancel cancel;
	struct call call;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool parked, finished; /* lock */
	ssize_t result;        /* lock; once finished */
	char *bytes;           /* lock; owned */
	void (*cancelled)(void *arg, struct vn_req *req);
	void *arg;
};

struct vn_poll {
	bool *woken; /* set when woken; may be NULL */
};

/* The node at PATH below ROOT ("" for itself) with a reference, or NULL and *RC. */
struct vnode *fake_walk(struct vnode *root, const char *path, int *rc);

/* An open file. */
struct fake_file {
	struct vnode *node;
	struct vn_file file;
};

int fake_open(struct vnode *root, const char *path, int flags, struct fake_file *out);
/* flush and release; flush's answer. */
int fake_close(struct fake_file *file);
/* One write; its answer. */
ssize_t fake_write(struct fake_file *file, const char *text);
/* open, write, close as echo does it: the first error, or 0. */
int fake_echo(struct vnode *root, const char *path, const char *text);

/*
 * A read that is under way: fake_read begins it, fake_finish waits up to 5 s for its end,
 * frees it and gives the result, *TEXT owned (or NULL).  fake_parked: whether it still waits.
 */
struct vn_req *fake_read(struct fake_file *file, int64_t offset, size_t len);
bool fake_parked(struct vn_req *req);
void fake_interrupt(struct vn_req *req);
ssize_t fake_finish(struct vn_req *req, char **text);

/* open, read to the end, close: what cat prints, owned; NULL and errno. */
char *fake_cat(struct vnode *root, const char *path);
/* The value of KEY in the flat-keyed file PATH, owned; NULL if there is none. */
char *fake_key(struct vnode *root, const char *path, const char *key);
int fake_mkdir(struct vnode *root, const char *path);
int fake_rmdir(struct vnode *root, const char *path);
/* Names in PATH, sorted, joined by blanks; owned. */
char *fake_ls(struct vnode *root, const char *path);
int64_t fake_size(struct vnode *root, const char *path);

/* Waits up to 5 s for COND; false if it never holds. */
#define fake_eventually(cond)                                                                      \
	__extension__({                                                                            \
		bool holds_ = false;                                                               \
		for (int tries_ = 0; !holds_ && tries_ < 5000; tries_++)                           \
			if (!(holds_ = (cond)))                                                    \
				usleep(1000);                                                      \
		holds_;                                                                            \
	})

#endif
