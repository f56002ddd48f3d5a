/*
 * budget.h - memory that peers can make a process keep, counted for all of them together: a client
 * of many connections gets no more than one.
 */
#ifndef VSOCKFS_BUDGET_H
#define VSOCKFS_BUDGET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct budget {
	atomic_size_t used;
	size_t max; /* constant */
};

static inline void budget_init(struct budget *budget, size_t max)
{
	atomic_init(&budget->used, 0);
	budget->max = max;
}

/* False, and nothing is taken, where that would be too much. */
static inline bool budget_take(struct budget *budget, size_t size)
{
	size_t used = atomic_load(&budget->used);

	do {
		if (size > budget->max - used)
			return false;
	} while (!atomic_compare_exchange_weak(&budget->used, &used, used + size));
	return true;
}

static inline void budget_give(struct budget *budget, size_t size)
{
	atomic_fetch_sub(&budget->used, size);
}

#endif
