/*
 * proc_ready.h - whether a service is ready, asked in short requests.  Internal to
 * protocol/line/proc_service*.c.
 *
 * The agent could probe by itself, but a serial one answers nobody else
 * meanwhile.  A file and a local listener are looked for within the request; whatever may
 * take its time (a URL, a command, another machine's port) runs as a detached command
 * and is asked for.
 */
#ifndef VSOCKFS_LINE_PROC_READY_H
#define VSOCKFS_LINE_PROC_READY_H

#include <stdbool.h>

#include "protocol/buf.h"
#include "protocol/line/proc_room.h"

#define PROC_PROBE_SECONDS 10.0 /* for one try of a detached probe */

struct proc_prober {
	struct guest *guest;
	const struct proc_settings *settings; /* the service's; outlives the prober */
	const struct proc_readiness *readiness;
	struct buf inline_test;        /* sh: true when ready; empty for a detached probe */
	struct buf command;            /* sh: what a detached probe runs */
	struct buf needs;              /* sh: what must hold before the start */
	const char *tools;             /* what `needs` looks for, for people */
	struct lproc_command *running; /* owned; the try under way */
};

struct proc_probe {
	bool alive; /* the service's process is there */
	bool ready;
	double now; /* the guest's clock: seconds since the epoch */
};

/* Checks the readiness; sends nothing.  proc_prober_end() it, also after an error. */
int proc_prober_init(struct proc_prober *prober, struct guest *guest,
		     const struct proc_settings *settings, const struct proc_readiness *readiness,
		     struct error *err);

/*
 * Before the start: -ENOENT, -ENOTDIR for a cwd that is not there, -EOPNOTSUPP where the guest
 * lacks the means to probe.
 */
int proc_prober_check(struct proc_prober *prober, const struct call *call, struct error *err);

/* One round: is the process PID alive, is it ready?  A few short requests. */
int proc_prober_ask(struct proc_prober *prober, const struct call *call, int64_t pid,
		    struct proc_probe *out, struct error *err);

void proc_prober_end(struct proc_prober *prober, const struct call *call);

/*
 * sh functions over the service's leader: `alive PID` (a zombie is dead, whoever has not reaped it
 * yet), `members PID` prints how many live processes its group has, `strike SIGNAL PID` signals the
 * group.
 */
#define PROC_SH_ALIVE                                                                              \
	"alive() {\n"                                                                              \
	"	[ -r /proc/self/stat ] || { kill -0 \"$1\" 2>/dev/null; return; }\n"                     \
	"	read -r l 2>/dev/null </proc/\"$1\"/stat || return 1\n"                                  \
	"	case ${l##*) } in Z*|X*) return 1;; esac\n"                                              \
	"}\n"                                                                                      \
	"members() {\n"                                                                            \
	"	n=0 g=$1\n"                                                                              \
	"	[ -r /proc/self/stat ] || { kill -0 -\"$g\" 2>/dev/null && n=1; echo $n; return; "       \
	"}\n"                                                                                      \
	"	for f in /proc/[0-9]*/stat; do\n"                                                        \
	"		read -r l 2>/dev/null <\"$f\" || continue\n"                                            \
	"		set -- ${l##*) }\n"                                                                     \
	"		[ \"$3\" = \"$g\" ] || continue\n"                                                      \
	"		case $1 in Z|X) ;; *) n=$((n + 1));; esac\n"                                            \
	"	done\n"                                                                                  \
	"	echo $n\n"                                                                               \
	"}\n"                                                                                      \
	"strike() { kill -\"$1\" -\"$2\" || kill -\"$1\" \"$2\"; } 2>/dev/null\n"

#endif
