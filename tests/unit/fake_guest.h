/*
 * fake_guest.h - a guest for the tests of proc_*.c: this machine, asked by functions that take
 * line.h's place.
 *
 * line_exec runs `/bin/sh -lc` here as the reference agent does it in a guest: in /, one at a time,
 * output collected until nobody holds it open any more, decoded as strict UTF-8 with line ends
 * changed.  With FAKE_ROOT set, shells run in that root (by hand: a tree of busybox).
 */
#ifndef TESTS_FAKE_GUEST_H
#define TESTS_FAKE_GUEST_H

#include <stdbool.h>

#include "protocol/call.h"
#include "protocol/guest.h"

/* A guest with a new token and a room; fake_guest_free frees the room as well. */
struct guest *fake_guest_new(void);
void fake_guest_free(struct guest *guest);

/* A call of ten seconds. */
struct call fake_call(void);

/* How many execs the guest has had, and the longest of them in seconds. */
unsigned fake_execs(const struct guest *guest);
double fake_longest(const struct guest *guest);

/* What the next exec is answered with instead: {"error": TEXT} (static text), once. */
void fake_refuse(struct guest *guest, const char *text);

/* The next exec is done, but its caller is interrupted before it hears of it. */
void fake_lose_answer(struct guest *guest);

/* Execs after the lost one wait, as long as their callers do, until HELD is false. */
void fake_hold(struct guest *guest, bool held);

/* How many processes have VSOCKFS_K=TOKEN in their environment. */
unsigned fake_processes(const struct guest *guest);

/* Where the guest's root is here: "" or FAKE_ROOT. */
const char *fake_root(void);

/* Whether any file of the guest's name is left in /run, /tmp or /workspace. */
bool fake_leftovers(const struct guest *guest);

#endif
