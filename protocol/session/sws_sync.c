/*
 * sws_sync.c - fsync, and what a guest that was started anew has lost.
 *
 * What the guest has taken is in its memory until it is synced.  A file remembers in which of the
 * guest's lives (link_epoch) it took the first change that was not: where that is over, fsync and
 * close tell so, once, instead of pretending.  It is NFS' write verifier; the bytes are not here
 * any more to be sent again.
 */
#include <errno.h>
#include <fcntl.h>
#include <utlist.h>

#include "protocol/session/sws_internal.h"

void sws_inode_changed(struct sws_inode *inode, uint64_t epoch)
{
	struct sws *ws = inode->ws;

	pthread_mutex_lock(&ws->lock);
	if (!inode->unsynced)
		inode->unsynced = epoch;
	inode->changed = ++ws->clock;
	pthread_mutex_unlock(&ws->lock);
}

static int lost(struct error *err)
{
	return error_set(
		err, EIO,
		"the guest was started anew, or could not keep what was written: of what was "
		"not synced some may be lost");
}

bool sws_inode_judge(struct sws_inode *inode, uint64_t epoch)
{
	struct error why = { 0 };
	struct sws_file *file;

	if (!inode->unsynced || inode->unsynced == epoch)
		return false;
	/* From here on it is as the guest has it now. */
	inode->unsynced = epoch;
	lost(&why);
	DL_FOREACH (inode->files, file) {
		if (sws_is_writer(file))
			sws_file_lose(file, &why);
	}
	return true;
}

/*
 * An fsync that began when ws->clock was BEGUN was carried out in EPOCH.  False: something was
 * lost.
 */
static bool take_synced(struct sws_inode *inode, uint64_t epoch, uint64_t begun)
{
	struct sws *ws = inode->ws;
	bool is_lost;

	pthread_mutex_lock(&ws->lock);
	is_lost = sws_inode_judge(inode, epoch);
	if (inode->changed < begun)
		inode->unsynced = 0;
	pthread_mutex_unlock(&ws->lock);
	return !is_lost;
}

struct syncing {
	struct sws_file *file;
	const struct call *call;
	bool data_only;
	uint64_t epoch, begun; /* of the last attempt */
};

static int sync_step(void *arg, struct mux *mux, struct error *err)
{
	autobuf struct buf args = BUF_INIT(16);
	struct syncing *syncing = arg;
	struct sws *ws = syncing->file->inode->ws;
	uint32_t handle;
	int rc = sws_file_handle(syncing->file, mux, syncing->call, &handle, err);

	if (rc)
		return rc;
	pthread_mutex_lock(&ws->lock);
	syncing->begun = ++ws->clock;
	pthread_mutex_unlock(&ws->lock);
	syncing->epoch = mux_epoch(mux);
	pack_u32(&args, handle);
	pack_u8(&args, syncing->data_only);
	return mux_call(mux, syncing->call, OP_FSYNC, &args, NULL, NULL, err);
}

static int sync_file(struct sws_file *file, const struct call *call, bool data_only,
		     struct error *err)
{
	struct syncing syncing = { .file = file, .call = call, .data_only = data_only };
	int rc = sws_inode_settle(file->inode, call, err);

	if (!rc)
		rc = sws_tell_lost(file, err);
	if (!rc)
		rc = sws_run(file->inode->ws, call, OP_FSYNC, sync_step, &syncing, err);
	if (!rc && !take_synced(file->inode, syncing.epoch, syncing.begun) && !sws_is_writer(file))
		rc = lost(err);
	return rc ? rc : sws_tell_lost(file, err);
}

int sws_fsync(struct sws_file *file, const struct call *call, bool data_only, struct error *err)
{
	int rc = sync_file(file, call, data_only, err);

	if (rc)
		sws_set_told(file, true);
	return rc;
}
