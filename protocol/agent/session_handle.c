/* session_handle.c - see session_handle.h. */
#include "protocol/agent/session_handle.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A number is a slot and the slot's generation; never 0, and never OPS_HANDLE_LAST. */
#define SLOT_BITS 12
#define SLOT_MASK ((1u << SLOT_BITS) - 1)
#define GENERATIONS ((1u << (32 - SLOT_BITS)) - 2)

_Static_assert(SESS_MAX_HANDLES <= SLOT_MASK + 1, "a slot's number must fit");

#define FIRST_ROOM 64

void sess_handles_init(struct sess_handles *handles, struct budget *files)
{
	*handles = (struct sess_handles){ .files = files };
	pthread_mutex_init(&handles->lock, NULL);
}

static void file_close(struct sess_handles *handles, struct sess_file *file)
{
	budget_give(handles->files, 1);
	close(file->fd);
	free(file);
}

void sess_handles_destroy(struct sess_handles *handles)
{
	for (uint32_t i = 0; i < handles->room; i++) {
		if (handles->slots[i])
			file_close(handles, handles->slots[i]);
	}
	free(handles->slots);
	free(handles->generations);
	pthread_mutex_destroy(&handles->lock);
}

/* Lock held. */
static int grow(struct sess_handles *handles)
{
	uint32_t room = handles->room ? 2 * handles->room : FIRST_ROOM;
	struct sess_file **slots;
	uint32_t *generations;

	if (handles->room == SESS_MAX_HANDLES)
		return -EMFILE;
	slots = realloc(handles->slots, room * sizeof(struct sess_file *));
	if (slots)
		handles->slots = slots;
	generations = realloc(handles->generations, room * sizeof(*generations));
	if (generations)
		handles->generations = generations;
	if (!slots || !generations)
		return -ENOMEM;
	for (uint32_t i = handles->room; i < room; i++) {
		slots[i] = NULL;
		generations[i] = 0;
	}
	handles->hint = handles->room;
	handles->room = room;
	return 0;
}

/* Lock held.  A slot is left alone for as long as there are others. */
static int place(struct sess_handles *handles, struct sess_file *file, uint32_t *number)
{
	int rc = handles->used == handles->room ? grow(handles) : 0;
	uint32_t slot = handles->hint;

	if (rc < 0)
		return rc;
	while (handles->slots[slot])
		slot = (slot + 1) % handles->room;
	handles->slots[slot] = file;
	handles->hint = (slot + 1) % handles->room;
	handles->used++;
	handles->generations[slot] = handles->generations[slot] % GENERATIONS + 1;
	file->generation = handles->generations[slot];
	*number = file->generation << SLOT_BITS | slot;
	return 0;
}

int sess_handles_add(struct sess_handles *handles, int fd, bool append, uint32_t *number)
{
	bool fits = budget_take(handles->files, 1);
	struct sess_file *file = fits ? malloc(sizeof(*file)) : NULL;
	int rc = fits ? -ENOMEM : -ENFILE;

	if (file) {
		*file = (struct sess_file){ .fd = fd, .append = append, .users = 1 };
		pthread_mutex_lock(&handles->lock);
		rc = place(handles, file, number);
		pthread_mutex_unlock(&handles->lock);
	}
	if (rc < 0) {
		if (fits)
			budget_give(handles->files, 1);
		free(file);
		close(fd);
	}
	return rc;
}

/* Lock held. */
static struct sess_file **find(struct sess_handles *handles, uint32_t number)
{
	uint32_t slot = number & SLOT_MASK;
	struct sess_file *file = slot < handles->room ? handles->slots[slot] : NULL;

	return file && file->generation == number >> SLOT_BITS ? &handles->slots[slot] : NULL;
}

struct sess_file *sess_handles_get(struct sess_handles *handles, uint32_t number)
{
	struct sess_file **slot, *file = NULL;

	pthread_mutex_lock(&handles->lock);
	slot = find(handles, number);
	if (slot) {
		file = *slot;
		file->users++;
	}
	pthread_mutex_unlock(&handles->lock);
	return file;
}

void sess_handles_put(struct sess_handles *handles, struct sess_file *file)
{
	bool last;

	pthread_mutex_lock(&handles->lock);
	last = !--file->users;
	pthread_mutex_unlock(&handles->lock);
	if (last)
		file_close(handles, file);
}

int sess_handles_remove(struct sess_handles *handles, uint32_t number)
{
	struct sess_file **slot, *file = NULL;

	pthread_mutex_lock(&handles->lock);
	slot = find(handles, number);
	if (slot) {
		file = *slot;
		*slot = NULL;
		handles->used--;
	}
	pthread_mutex_unlock(&handles->lock);
	if (!file)
		return -EBADF;
	sess_handles_put(handles, file);
	return 0;
}
