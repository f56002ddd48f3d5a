/* session_table.c - see session_table.h. */
#include "protocol/agent/session_table.h"

#include <errno.h>

#include "protocol/agent/session_call.h"

#define BUCKETS (sizeof(((struct sess_table *)0)->buckets) / sizeof(struct sess_call *))

void sess_table_init(struct sess_table *table)
{
	*table = (struct sess_table){ 0 };
	pthread_mutex_init(&table->lock, NULL);
	pthread_cond_init(&table->ended, NULL);
}

void sess_table_destroy(struct sess_table *table)
{
	pthread_cond_destroy(&table->ended);
	pthread_mutex_destroy(&table->lock);
}

/* Lock held.  Where the call ID is, or would be. */
static struct sess_call **find(struct sess_table *table, uint32_t id)
{
	struct sess_call **slot = &table->buckets[id % BUCKETS];

	while (*slot && (*slot)->id != id)
		slot = &(*slot)->chain;
	return slot;
}

bool sess_table_has(struct sess_table *table, uint32_t id)
{
	bool has;

	if (!atomic_load(&table->open))
		return false;
	pthread_mutex_lock(&table->lock);
	has = *find(table, id) != NULL;
	pthread_mutex_unlock(&table->lock);
	return has;
}

int sess_table_add(struct sess_table *table, struct sess_call *call)
{
	int rc = -EAGAIN;

	pthread_mutex_lock(&table->lock);
	/*
	 * Those that are being answered count no more for the client; there are no more than
	 * threads.
	 */
	if (table->open < SESS_MAX_CALLS) {
		call->chain = NULL;
		*find(table, call->id) = call;
		table->open++;
		table->living++;
		table->timed += call->timed;
		rc = 0;
	}
	pthread_mutex_unlock(&table->lock);
	return rc;
}

void sess_table_remove(struct sess_table *table, struct sess_call *call)
{
	struct sess_call **slot;

	pthread_mutex_lock(&table->lock);
	slot = find(table, call->id);
	if (*slot == call) {
		*slot = call->chain;
		table->open--;
		table->timed -= call->timed;
	}
	pthread_mutex_unlock(&table->lock);
}

void sess_table_forget(struct sess_table *table)
{
	pthread_mutex_lock(&table->lock);
	if (!--table->living)
		pthread_cond_broadcast(&table->ended);
	pthread_mutex_unlock(&table->lock);
}

void sess_table_with(struct sess_table *table, uint32_t id,
		     void (*each)(struct sess_call *call, void *arg), void *arg)
{
	struct sess_call *call;

	pthread_mutex_lock(&table->lock);
	call = *find(table, id);
	if (call)
		each(call, arg);
	pthread_mutex_unlock(&table->lock);
}

void sess_table_each(struct sess_table *table, void (*each)(struct sess_call *call, void *arg),
		     void *arg)
{
	pthread_mutex_lock(&table->lock);
	for (size_t i = 0; table->open && i < BUCKETS; i++) {
		for (struct sess_call *call = table->buckets[i]; call; call = call->chain)
			each(call, arg);
	}
	pthread_mutex_unlock(&table->lock);
}

bool sess_table_has_timed(struct sess_table *table)
{
	return atomic_load(&table->timed) > 0;
}

void sess_table_drain(struct sess_table *table)
{
	pthread_mutex_lock(&table->lock);
	while (table->living)
		pthread_cond_wait(&table->ended, &table->lock);
	pthread_mutex_unlock(&table->lock);
}
