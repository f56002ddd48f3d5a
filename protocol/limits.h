/*
 * limits.h - every cap of the program, in one place.
 *
 * A number that a peer sent is compared with its cap before anything is
 * allocated, looped over or waited for on the strength of it.  Whoever refuses
 * something because of a cap names the cap in the error.
 */
#ifndef VSOCKFS_LIMITS_H
#define VSOCKFS_LIMITS_H

#include <stdint.h>

/* Bytes, unless the name says otherwise. */
#define LIMIT_REQUEST_LINE (100u << 10)       /* one request, with its newline */
#define LIMIT_REPLY_OBJECT (16u << 20)        /* one reply object */
#define LIMIT_REPLY_DEPTH 32                  /* levels of nesting in a reply */
#define LIMIT_REPLY_CONTAINERS (256u << 10)   /* objects and arrays in a reply */
#define LIMIT_REPLY_ITEMS (2u << 20)          /* values in a reply, keys counted too */
#define LIMIT_REQUEST_CONTAINERS 256          /* the same in a request */
#define LIMIT_REQUEST_ITEMS 4096              /* likewise */
#define LIMIT_ERROR_TEXT (4u << 10)           /* error text shown to people */
#define LIMIT_EXPORT_HEADER (64u << 10)       /* header object of an export */
#define LIMIT_HELLO_LINE (64u << 10)          /* a session's answer to hello */
#define LIMIT_ARCHIVE_SIZE (INT64_C(1) << 40) /* one archive */
#define LIMIT_MEMBER_NAME 4096                /* name of an archive member */
#define LIMIT_SYMLINK_TARGET 4095             /* target of a symbolic link */
#define LIMIT_LISTING_ENTRIES (4u << 20)      /* entries of one listing */
#define LIMIT_LISTING_MEMORY (256u << 10)     /* of one that is kept; more is in a file */
#define LIMIT_LISTINGS_MEMORY (16u << 20)     /* of all that are kept */
#define LIMIT_HANDSHAKE_LINE 128              /* a bridge's answer to CONNECT */
#define LIMIT_TEXT_FILE (1u << 20)            /* read_workspace_file, write_workspace_file */
#define LIMIT_SHELL_READ 65536                /* characters of one read_shell */
#define LIMIT_SHELL_WRITE 1024                /* input of one write_shell */
#define LIMIT_EXEC_COMMAND 131071             /* what execve takes in one argument */
#define LIMIT_PATH 4096                       /* a path below the workspace */
#define LIMIT_NAME 255                        /* one component of a path */
#define LIMIT_ENV_NAME 64                     /* NAME of NAME=VALUE */
#define LIMIT_ENV_VALUES 256                  /* variables of one service, shell or command */
#define LIMIT_CTL_LINE 65536                  /* one line written to a ctl file */

#define LIMIT_ENTITY_NAME 64      /* name of a service, shell or command */
#define LIMIT_REAP_SECONDS 900    /* an abandoned reply may take this long */
#define LIMIT_HANDSHAKE_SECONDS 5 /* for a bridge to answer CONNECT */

/* Control files. */
#define LIMIT_CTL_MEMBERS 4096        /* services, shells, commands of a guest; guests of a mount */
#define LIMIT_TRANSCRIPT (64u << 20)  /* a shell's output kept here; the oldest is forgotten */
#define LIMIT_STDIN_FILE (256u << 20) /* what a command's stdin holds before it starts */
#define LIMIT_EVENTS (256u << 10)     /* lines that events keeps, together */
#define LIMIT_STDERR_TAIL 2048        /* of a service that failed to start, in its error */
#define LIMIT_TEXT_SNAPSHOT (4u << 20) /* one reading of status, ctl, metrics */
#define LIMIT_TEXT_LINE 4096           /* columns of one line that `text` can still change */

/* The agent's own: what one guest's clients may make it hold. */
#define LIMIT_AGENT_CONNECTIONS 128           /* served at once, sessions included; more wait */
#define LIMIT_AGENT_LISTENERS 16              /* addresses it listens on */
#define LIMIT_AGENT_SHELLS 256                /* open at once */
#define LIMIT_AGENT_SERVICES 4096             /* names it knows */
#define LIMIT_AGENT_SERVICE_TEXT (4u << 20)   /* the commands of them all */
#define LIMIT_AGENT_TRANSCRIPT (16u << 20)    /* of all shells, evenly; the oldest goes */
#define LIMIT_AGENT_HELD (8u << 20)           /* what waits for clients, of them all */
#define LIMIT_AGENT_FILES 8192                /* open for all sessions */
#define LIMIT_AGENT_SHELL_INPUT (1u << 20)    /* that one shell has not read yet */
#define LIMIT_AGENT_REDACT_VALUES 256         /* secrets of one shell */
#define LIMIT_AGENT_LIST_DEPTH 256            /* directories of one recursive listing */
#define LIMIT_ARCHIVE_DIRECTORIES (32u << 20) /* names of directories in one upload */
#define LIMIT_ARCHIVE_HEADER (2u << 20)       /* what stands in front of one member's contents */
#define LIMIT_AGENT_UPLOADS (34u << 20)       /* all uploads: decoders, names of directories */

#endif
