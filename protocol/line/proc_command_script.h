/*
 * proc_command_script.h - the sh scripts that run a detached command in a guest.
 *
 * Values reach them as environment variables of the exec (VSOCKFS_*), not as text: nothing
 * needs quoting, any bytes arrive, and no argument list shows them.  They run in
 * dash, bash and busybox's ash.
 *
 * Two traps shaped them.  A shell without job control starts `command &` with SIGINT and
 * SIGQUIT ignored, for good; so nothing that leads to the command is started with "&": `setsid
 * setsid PROGRAM` detaches by itself, because the second setsid finds itself
 * leading a group and has to fork.  And the supervisor is in another process group than the
 * command, so that a signal for the one never reaches the other.
 *
 * The command's directory has: stdin, stdout, stderr; supervisor, pid (their process
 * ids); late, once the time limit has struck; exit (the status), moved into place as
 * the last thing of all.
 */
#ifndef VSOCKFS_LINE_PROC_COMMAND_SCRIPT_H
#define VSOCKFS_LINE_PROC_COMMAND_SCRIPT_H

/* Exit statuses of PROC_SH_START besides 0. */
enum {
	PROC_START_NO_ROOM = 61,    /* no private directory */
	PROC_START_NO_UPLOAD = 62,  /* the uploaded input has gone */
	PROC_START_NO_BASE64 = 63,  /* the inline input could not be decoded */
	PROC_START_NO_CWD = 64,     /* it does not exist */
	PROC_START_CWD_FILE = 65,   /* it is no directory */
	PROC_START_CWD_DENIED = 66, /* it cannot be entered */
	PROC_START_NO_PROCESS = 67, /* the command never came to life */
};

/*
 * Starts VSOCKFS_S detached and waits until the command has a pid; then prints a line
 * "vsockfs-TOKEN DIRECTORY PID".
 * VSOCKFS_K token, N name of the directory, D cwd, I input in base64 or U uploaded input (or
 * neither), S supervisor, W wrapper, C command, T and F time limit.
 */
#define PROC_SH_START                                                                               \
	"\\unalias -a 2>/dev/null\n"                                                                \
	"set +e +u +f; unset IFS\n"                                                                 \
	"exec 2>/dev/null </dev/null\n"                                                             \
	"stage=/workspace/.vsockfs-$VSOCKFS_K c=\n"                                                 \
	"fail() {\n"                                                                                \
	"	[ \"$VSOCKFS_U\" ] && rm -f \"$VSOCKFS_U\" && rmdir \"$stage\"\n"                         \
	"	[ \"$c\" ] && rm -rf \"$c\" && rmdir \"$d\"\n"                                            \
	"	exit \"$1\"\n"                                                                            \
	"}\n"                                                                                       \
	"for b in /run /tmp /run /tmp; do\n" /* twice: another one's end may remove it meanwhile */ \
	"	d=$b/vsockfs-$VSOCKFS_K\n"                                                                \
	"	mkdir -m 700 \"$d\"\n"                                                                    \
	"	[ -d \"$d\" ] && [ ! -L \"$d\" ] && mkdir -m 700 \"$d/$VSOCKFS_N\" &&\n"                  \
	"		c=$d/$VSOCKFS_N && break\n"                                                              \
	"done\n"                                                                                    \
	"[ \"$c\" ] || fail 61\n"                                                                   \
	"if [ \"$VSOCKFS_U\" ]; then\n"                                                             \
	"	mv \"$VSOCKFS_U\" \"$c/stdin\" || fail 62\n"                                              \
	"	rmdir \"$stage\"\n"                                                                       \
	"	VSOCKFS_U=\n"                                                                             \
	"elif [ \"$VSOCKFS_I\" ]; then\n"                                                           \
	"	printf %s \"$VSOCKFS_I\" | base64 -d >\"$c/stdin\" || fail 63\n"                          \
	"else\n"                                                                                    \
	"	: >\"$c/stdin\"\n"                                                                        \
	"fi\n"                                                                                      \
	": >\"$c/stdout\" && : >\"$c/stderr\" || fail 61\n"                                         \
	"[ -e \"$VSOCKFS_D\" ] || fail 64\n"                                                        \
	"[ -d \"$VSOCKFS_D\" ] || fail 65\n"                                                        \
	"cd \"$VSOCKFS_D\" || fail 66\n"                                                            \
	"VSOCKFS_P=$c VSOCKFS_L=\n"                                                                 \
	"if command -v setsid >/dev/null; then VSOCKFS_L=setsid\n"                                  \
	"elif busybox setsid true; then VSOCKFS_L='busybox setsid'; fi\n"                           \
	"export VSOCKFS_P VSOCKFS_L\n"                                                              \
	"unset VSOCKFS_I VSOCKFS_U\n"                                                               \
	"if [ \"$VSOCKFS_L\" ]; then\n"                                                             \
	"	$VSOCKFS_L $VSOCKFS_L /bin/sh -c \"$VSOCKFS_S\" >/dev/null\n"                             \
	"else\n"                                                                                    \
	"	set -m\n" /* bash gives it a group of its own */                                    \
	"	/bin/sh -c \"$VSOCKFS_S\" >/dev/null &\n"                                                 \
	"fi\n"                                                                                      \
	"i=0\n"                                                                                     \
	"until [ -s \"$c/pid\" ]; do\n"                                                             \
	"	i=$((i + 1))\n"                                                                           \
	"	[ $i -gt 150 ] && fail 67\n"                                                              \
	"	sleep 0.02 || { sleep 1; i=$((i + 50)); }\n"                                              \
	"done\n"                                                                                    \
	"read -r p <\"$c/pid\"\n"                                                                   \
	"printf '\\nvsockfs-%s %s %s\\n' \"$VSOCKFS_K\" \"$d\" \"$p\"\n"

/*
 * The supervisor: runs the wrapper and records how it ended.  VSOCKFS_T is the time limit
 * in whole seconds ("" for none), VSOCKFS_F the same as exactly as it was asked for, which not
 * every sleep understands.
 */
#define PROC_SH_SUPERVISOR                                                                         \
	"exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-\n"                                                \
	"c=$VSOCKFS_P t=\n"                                                                        \
	"echo $$ >\"$c/supervisor\"\n"                                                             \
	"strike() { kill -\"$1\" -\"$p\" || kill -\"$1\" \"$p\"; }\n"                              \
	"if [ \"$VSOCKFS_T\" ]; then\n"                                                            \
	"	sleep 0.001 && VSOCKFS_T=$VSOCKFS_F\n"                                                   \
	"	(\n"                                                                                     \
	"	trap 'kill $!; exit' TERM\n"                                                             \
	"	sleep \"$VSOCKFS_T\" & wait $!\n"                                                        \
	"	: >\"$c/late\"\n"                                                                        \
	"	until read -r p <\"$c/pid\"; do sleep 1 || exit; [ -d \"$c\" ] || exit; done\n"          \
	"	strike TERM\n"                                                                           \
	"	for i in 1 2; do\n"                                                                      \
	"		sleep 1 & wait $!\n"                                                                    \
	"		kill -0 -\"$p\" || kill -0 \"$p\" || exit\n"                                            \
	"	done\n"                                                                                  \
	"	strike KILL\n"                                                                           \
	"	) &\n"                                                                                   \
	"	t=$!\n"                                                                                  \
	"fi\n"                                                                                     \
	"[ \"$VSOCKFS_L\" ] || set -m\n"                                                           \
	"$VSOCKFS_L /bin/sh -c \"$VSOCKFS_W\"\n"                                                   \
	"r=$?\n"                                                                                   \
	"if [ \"$t\" ]; then\n"                                                                    \
	"	if [ -e \"$c/late\" ]; then r=124; else kill $t; fi\n"                                   \
	"	wait $t\n"                                                                               \
	"fi\n"                                                                                     \
	"echo $r >\"$c/exit.new\" && mv \"$c/exit.new\" \"$c/exit\"\n"

/*
 * The wrapper, in two parts with the exports of the user's variables between them: it has the pid,
 * the group and the files that the command will have.
 */
#define PROC_SH_WRAPPER_HEAD                                                                       \
	"exec <\"$VSOCKFS_P/stdin\" >>\"$VSOCKFS_P/stdout\" 2>>\"$VSOCKFS_P/stderr\"\n"            \
	"echo $$ >\"$VSOCKFS_P/pid.new\" && mv \"$VSOCKFS_P/pid.new\" \"$VSOCKFS_P/pid\"\n"        \
	"set -- \"$VSOCKFS_C\"\n"                                                                  \
	"unset VSOCKFS_K VSOCKFS_N VSOCKFS_D VSOCKFS_S VSOCKFS_W VSOCKFS_C VSOCKFS_T VSOCKFS_F "   \
	"VSOCKFS_P VSOCKFS_L\n"
#define PROC_SH_WRAPPER_TAIL "exec /bin/sh -c \"$1\"\n"

/*
 * Below, $c is the command's directory.  Status 3: it is not there.
 *
 * Prints: pid, 1 while the supervisor lives, exit status or "-", the sizes of the two
 * outputs.  In that order: who is found dead has written what it had to write, and who has
 * an exit status writes no more.
 */
#define PROC_SH_STATUS                                                                             \
	"cd \"$c\" 2>/dev/null || exit 3\n"                                                        \
	"exec 2>/dev/null\n"                                                                       \
	"p=0 s= a=0 e=-\n"                                                                         \
	"read -r p <pid; read -r s <supervisor\n"                                                  \
	"kill -0 \"$s\" && a=1\n"                                                                  \
	"[ -e exit ] && read -r e <exit\n"                                                         \
	"echo $p $a $e $(size stdout) $(size stderr)\n"

/* Sends $k to the group.  Status 4: it has ended. */
#define PROC_SH_KILL                                                                               \
	"cd \"$c\" 2>/dev/null || exit 3\n"                                                        \
	"[ -e exit ] && exit 4\n"                                                                  \
	"exec 2>/dev/null\n"                                                                       \
	"read -r p <pid || exit 4\n"                                                               \
	"kill -\"$k\" -\"$p\" || kill -\"$k\" \"$p\" || exit 4\n"

/* `end DIRECTORY`: kills what runs there, gives its supervisor time to notice, and removes it. */
#define PROC_SH_END                                                                                \
	"end() {\n"                                                                                \
	"	[ -d \"$1\" ] || return 0\n"                                                             \
	"	i=0\n"                                                                                   \
	"	until [ -e \"$1/exit\" ] || [ $i -gt 40 ]; do\n"                                         \
	"		p=; read -r p <\"$1/pid\"\n"                                                            \
	"		[ \"$p\" ] && { kill -KILL -\"$p\" || kill -KILL \"$p\"; }\n"                           \
	"		s=; read -r s <\"$1/supervisor\"\n"                                                     \
	"		[ \"$s\" ] && { kill -0 \"$s\" || break; }\n"                                           \
	"		sleep 0.05 || { sleep 1; i=$((i + 20)); }\n"                                            \
	"		i=$((i + 1))\n"                                                                         \
	"	done\n"                                                                                  \
	"	rm -rf \"$1\"\n"                                                                         \
	"}\n"                                                                                      \
	"exec 2>/dev/null\n"

#endif
