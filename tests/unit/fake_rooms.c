/*
 * fake_rooms.c - see fake_rooms.h.
 */
#include "fake_rooms.h"

#include <errno.h>

#include "protocol/local.h"
#include "protocol/process.h"
#include "protocol/workspace.h"

struct fake_rooms fake_rooms;

#define WEAK __attribute__((weak))

WEAK int ws_new(struct guest *guest, struct workspace **out, struct error *err)
{
	(void)guest;
	(void)err;
	*out = (struct workspace *)&fake_rooms;
	fake_rooms.workspaces++;
	return 0;
}

WEAK void ws_free(struct workspace *ws)
{
	(void)ws;
	fake_rooms.workspaces--;
}

WEAK int proc_room_new(struct guest *guest, struct proc_room **out, struct error *err)
{
	(void)guest;
	(void)err;
	*out = (struct proc_room *)&fake_rooms;
	fake_rooms.procs++;
	return 0;
}

WEAK void proc_room_free(struct proc_room *room)
{
	(void)room;
	fake_rooms.procs--;
}

WEAK int local_start(const char *dir, bool network, const struct call *call, struct local **out,
		     struct error *err)
{
	(void)network;
	(void)call;
	if (!fake_rooms.local_socket)
		return error_set(err, EPERM, "no sandbox for %s here", dir);
	*out = (struct local *)&fake_rooms;
	fake_rooms.locals++;
	return 0;
}

WEAK const char *local_socket(const struct local *local)
{
	(void)local;
	return fake_rooms.local_socket;
}

WEAK void local_free(struct local *local)
{
	(void)local;
	fake_rooms.locals--;
}
