/*
 * sws_list.c - a directory with all attributes, in one call, streamed.
 *
 * The entries come in the order of their names' bytes; so a listing that broke, or of which the
 * guest told a part, goes on behind the last name that was taken.
 */
#include <errno.h>
#include <string.h>

#include "protocol/session/sws_internal.h"
#include "protocol/ws_path.h"

/* One more than there may be: a listing that is too long is seen to be. */
#define ASK_ENTRIES (LIMIT_LISTING_ENTRIES + 1)

struct listing {
	const struct call *call;
	const char *path;
	ws_list_fn each;
	void *arg;
	char last[LIMIT_NAME + 1]; /* the name of the last entry; "" before the first */
	size_t count;
	bool more; /* there are entries behind the last */
	int rc;    /* why it was ended here */
	struct error why;
};

static int take_entry(struct listing *listing, const struct ops_entry *entry)
{
	char name[LIMIT_NAME + 1];
	int rc;

	if (!ws_path_is_name(entry->path, entry->path_len))
		return error_set(&listing->why, EPROTO,
				 "the guest listed a name that cannot be one");
	memcpy(name, entry->path, entry->path_len);
	name[entry->path_len] = '\0';
	if (strcmp(name, listing->last) <= 0)
		return error_set(&listing->why, EPROTO, "the guest listed names out of order");
	memcpy(listing->last, name, entry->path_len + 1);
	if (++listing->count > LIMIT_LISTING_ENTRIES)
		return error_set(&listing->why, EOVERFLOW, "a directory has more than %u entries",
				 LIMIT_LISTING_ENTRIES);
	if (!*listing->path && ws_path_is_private(name))
		return 0;
	rc = sws_check_attr(&entry->attr, &listing->why);
	if (rc)
		return rc;
	rc = listing->each(listing->arg, name, &entry->attr);
	return rc ? error_set(&listing->why, -rc, "the listing was ended") : 0;
}

static int sink(void *arg, const void *bytes, size_t len)
{
	struct unpack in = unpack_from(bytes, len);
	struct listing *listing = arg;
	struct ops_entry entry;

	while (!listing->rc && ops_unpack_entry(&in, &entry))
		listing->rc = take_entry(listing, &entry);
	if (!listing->rc)
		listing->rc = unpack_done(&in, "the guest's listing", &listing->why);
	return listing->rc;
}

/* One call, behind the last name that was taken. */
static int ask_step(void *arg, struct mux *mux, struct error *err)
{
	autobuf struct buf args = BUF_INIT(FRAME_BODY_MAX), reply = BUF_INIT(FRAME_BODY_MAX);
	struct listing *listing = arg;
	char last[LIMIT_PATH];
	struct unpack in;
	int rc;

	pack_text(&args, listing->path);
	pack_u8(&args, 1);
	pack_text(&args, listing->last);
	pack_u32(&args, ASK_ENTRIES);
	rc = mux_download(mux, listing->call, OP_LIST, &args, false, sink, listing, &reply, err);
	if (rc)
		return listing->rc ? 0 : rc;
	in = unpack_from(reply.data, reply.len);
	listing->more = unpack_u8(&in);
	unpack_text(&in, last, sizeof(last));
	return unpack_done(&in, "the end of the guest's listing", err);
}

int sws_list(struct sws *ws, const struct call *call, const char *path, ws_list_fn each, void *arg,
	     struct error *err)
{
	struct listing listing = {
		.call = call, .path = path, .each = each, .arg = arg, .more = true
	};
	int rc = ws_path_check(path, WS_PATH_LOOKUP, err);

	while (!rc && listing.more) {
		size_t before = listing.count;

		rc = sws_run(ws, call, OP_LIST, ask_step, &listing, err);
		if (listing.rc)
			return error_copy(err, &listing.why);
		if (!rc && listing.more && listing.count == before)
			rc = error_set(err, EPROTO, "the guest's listing does not go on");
	}
	return rc;
}
