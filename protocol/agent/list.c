/*
 * list.c - what is in a workspace directory, one level or all of them.
 *
 * Entries come sorted, a directory before what is in it.  What is neither file,
 * directory nor symbolic link is listed as "other": a client may leave it out, and
 * one FIFO does not make a tree unreadable.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/agent/actions.h"
#include "protocol/agent/workspace_path.h"
#include "protocol/archive_names.h"
#include "protocol/beneath.h"
#include "protocol/cleanup.h"

#define autopath __attribute__((cleanup(workspace_path_free)))

/* What an entry costs in the reply besides its names. */
#define ENTRY_OVERHEAD 80

struct listing {
	json_t *entries; /* array */
	struct buf path; /* of the entry, as the protocol names it */
	bool recursive;
	size_t cost; /* of the reply, at least */
	int depth;
};

static int fail(const struct listing *listing, int code, struct error *err)
{
	return error_set(err, code, "'%.255s': %s", buf_str(&listing->path), strerror(code));
}

static int add(struct listing *listing, int at, const char *name, const struct stat *st,
	       struct error *err)
{
	struct reply entry = { .object = json_object() };
	char target[LIMIT_SYMLINK_TARGET + 1];
	ssize_t len = -1;

	if (S_ISLNK(st->st_mode))
		len = readlinkat(at, name, target, sizeof(target));
	listing->cost += ENTRY_OVERHEAD + listing->path.len + (len > 0 ? (size_t)len : 0);
	if (listing->cost > LIMIT_REPLY_OBJECT) {
		json_decref(entry.object);
		return error_set(err, EFBIG,
				 "the listing is longer than a reply may be (%u bytes): list its "
				 "directories one by one",
				 LIMIT_REPLY_OBJECT);
	}
	if (!entry.object)
		return fail(listing, ENOMEM, err);
	reply_bytes(&entry, "path", buf_str(&listing->path), listing->path.len);
	reply_text(&entry, "artifact_type", workspace_artifact_type(st->st_mode));
	reply_int(&entry, "size_bytes",
		  S_ISREG(st->st_mode) || S_ISLNK(st->st_mode) ? st->st_size : 0);
	if (len >= 0)
		reply_bytes(&entry, "link_target", target, (size_t)len);
	else
		reply_null(&entry, "link_target");
	if (json_array_append_new(listing->entries, entry.object) < 0 || entry.failed)
		return fail(listing, ENOMEM, err);
	return 0;
}

static int list_directory(struct listing *listing, int at, const char *name, struct error *err);

/* One thing NAME in the directory AT, and what is below it where that is asked. */
static int visit(struct listing *listing, int at, const char *name, struct error *err)
{
	struct stat st;
	int rc;

	if (fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : fail(listing, errno, err); /* gone meanwhile */
	rc = add(listing, at, name, &st, err);
	if (rc == 0 && listing->recursive && S_ISDIR(st.st_mode))
		rc = list_directory(listing, at, name, err);
	return rc;
}

static int list_directory(struct listing *listing, int at, const char *name, struct error *err)
{
	autoclose int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	size_t len = listing->path.len;
	struct archive_names names;
	int rc;

	if (fd < 0)
		return errno == ENOENT ? 0 : fail(listing, errno, err);
	if (listing->depth == LIMIT_AGENT_LIST_DEPTH)
		return error_set(err, ELOOP, "'%.255s' is more than %d directories deep",
				 buf_str(&listing->path), LIMIT_AGENT_LIST_DEPTH);
	rc = archive_names_read(fd, &names);
	if (rc < 0)
		return fail(listing, -rc, err);
	listing->depth++;
	for (size_t i = 0; i < names.count && rc == 0; i++) {
		const char *child = archive_names_at(&names, i);

		listing->path.len = len;
		buf_adds(&listing->path, "/");
		buf_adds(&listing->path, child);
		rc = listing->path.overflow ?
			     error_set(err, ENAMETOOLONG, "a path is longer than %zu bytes",
				       listing->path.max) :
			     visit(listing, fd, child, err);
	}
	listing->depth--;
	listing->path.len = len;
	archive_names_free(&names);
	return rc;
}

/* "." is the workspace itself: the last component of everything else is never followed. */
static int list(struct listing *listing, int workspace, const char *below, mode_t *mode,
		struct error *err)
{
	const char *name = ".";
	autoclose int parent = below[0] ? beneath_open_parent(workspace, below, BENEATH_FOLLOW,
							      &name) :
					  fcntl(workspace, F_DUPFD_CLOEXEC, 0);
	struct stat st;

	if (parent < 0)
		return fail(listing, below[0] ? -parent : errno, err);
	if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return fail(listing, errno, err);
	*mode = st.st_mode;
	/* What is no directory is its own and only entry. */
	return S_ISDIR(st.st_mode) ? list_directory(listing, parent, name, err) :
				     add(listing, parent, name, &st, err);
}

int action_list_workspace(struct request *request, struct reply *reply, struct error *err)
{
	autopath struct workspace_path path = { 0 };
	struct listing listing = { .path = BUF_INIT((size_t)2 * LIMIT_PATH) };
	autoclose int workspace = -1;
	mode_t mode = 0;
	int rc;

	rc = workspace_path_get(request, "path", &path, err);
	if (rc == 0)
		rc = request_bool(request, "recursive", false, &listing.recursive, err);
	if (rc < 0)
		return rc;
	workspace = workspace_open(request->agent, err);
	if (workspace < 0)
		return workspace;
	listing.entries = json_array();
	if (!listing.entries)
		return error_set(err, ENOMEM, "out of memory");
	buf_adds(&listing.path, WORKSPACE);
	if (path.below[0])
		buf_addf(&listing.path, "/%s", path.below);
	rc = list(&listing, workspace, path.below, &mode, err);
	buf_free(&listing.path);
	if (rc < 0) {
		json_decref(listing.entries);
		return rc;
	}
	reply_text(reply, "path", path.text);
	reply_text(reply, "artifact_type", workspace_artifact_type(mode));
	reply_value(reply, "entries", listing.entries);
	return 0;
}
