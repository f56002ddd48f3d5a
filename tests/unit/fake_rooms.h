/*
 * fake_rooms.h - what hangs on a guest, replaced: no workspace, no processes, and a
 * local: sandbox that is whatever listens on a given socket.
 *
 * The definitions are weak, so that a test that links the real rooms gets those.
 */
#ifndef VSOCKFS_TESTS_FAKE_ROOMS_H
#define VSOCKFS_TESTS_FAKE_ROOMS_H

struct fake_rooms {
	const char *local_socket;      /* what local_start "starts"; NULL: it fails */
	int workspaces, procs, locals; /* alive */
};

extern struct fake_rooms fake_rooms;

#endif
