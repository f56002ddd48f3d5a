/*
 * exchange.h - one request and its reply over one connection of the line
 * dialect.  Internal to protocol/line/ (and guest.c's probe).
 *
 * The exchange waits at the guest's gate, connects, sends the request line and the payload
 * while watching for an early reply, and reads the reply to EOF.  When the
 * caller's deadline passes or its token fires after the connection was accepted, the
 * whole exchange is handed to the reaper, which goes on sending and
 * reading to the end, keeps the place at the gate meanwhile, and tells the guest
 * that it answers when the end comes in good order.
 *
 * CALL's deadline limits a short request as a whole; of a payload or an export every
 * byte that moves moves it on, so that there it limits silence, not size.
 */
#ifndef VSOCKFS_LINE_EXCHANGE_H
#define VSOCKFS_LINE_EXCHANGE_H

#include <jansson.h>
#include <stdbool.h>

#include "protocol/line/line.h"

struct exchange_request {
	json_t *object;              /* reference taken over, also on failure */
	struct line_payload payload; /* size 0 and NULLs for none; taken over likewise */
	enum traffic_kind kind;      /* unless CALL has one */
	bool repeatable; /* repeating it changes nothing: may be sent again after a reset */
};

/*
 * Runs the request.  *REPLY is a JSON object (json_decref) without an "error" member: such a
 * reply is -EREMOTEIO with its text.
 */
int exchange_run(struct guest *guest, const struct call *call, struct exchange_request *request,
		 json_t **reply, struct error *err);

/*
 * The same for an export: after the header object, SINK gets exactly archive_size
 * bytes.  MAX_SIZE and the deadline are as in line_export_archive.
 */
int exchange_run_export(struct guest *guest, const struct call *call,
			struct exchange_request *request, int64_t max_size,
			int (*sink)(void *arg, const void *bytes, size_t len), void *arg,
			json_t **header, struct error *err);

/*
 * A hello, which either dialect answers (docs/protocol.md).  A line with a "dialect" ends the
 * exchange without an end of the connection, which is *FD then (non-blocking, the caller's); else
 * *FD is -1 and *REPLY is that of a command.  An error that the agent says is of the moment
 * ("busy") is -EBUSY.  PROBE: as exchange_probe.
 *
 * ASIDE (or NULL) is another listener of the same guest.  It is tried once, waits at no gate, is
 * left at the deadline, and says something about the guest's health only by answering; dial_start's
 * and dial_step's errors are returned as they are.
 */
int exchange_run_hello(struct guest *guest, const struct call *call,
		       struct exchange_request *request, const struct address *aside, bool probe,
		       int *fd, json_t **reply, struct error *err);

/*
 * Asks whether the guest is there: one attempt with a command that does nothing, also at a
 * guest that is gone.  An answer brings it up.
 */
int exchange_probe(struct guest *guest, const struct call *call, struct error *err);

#endif
