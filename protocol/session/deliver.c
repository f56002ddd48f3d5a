/*
 * deliver.c - brings the agent, or finds that it is there already.
 *
 * The port is derived from the build id, so that all hosts that would bring the same program look,
 * and listen, at the same place: where two bring it at once, one of them cannot bind, and uses the
 * other's.
 */
#include "protocol/session/deliver.h"

#include <errno.h>
#include <linux/vm_sockets.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/guest_internal.h"
#include "protocol/session/agent_file.h"
#include "protocol/session/deliver_steps.h"

#define FIRST_PORT 52000u
#define PORTS 9000u
#define TRIES 8u
#define UPLOADS 2     /* of one delivery: a guest whose ports are all taken is none to fight with */
#define ASK_SECONDS 3 /* for whoever listens to say what it is */
#define PAUSE 0.02    /* seconds, before looking again */

static uint32_t port_of(const struct agent_file *file, unsigned attempt)
{
	char digits[9] = "";

	memcpy(digits, file->build, 8);
	return FIRST_PORT + (uint32_t)((strtoul(digits, NULL, 16) + attempt) % PORTS);
}

enum occupant { NOBODY, OURS, STRANGER };

/*
 * Who listens on PORT; OURS comes with its session.  Negative: the guest cannot be reached, or
 * -EINTR.
 */
static int look(const struct delivery *delivery, const struct agent_file *file, uint32_t port,
		struct hello *out, struct error *err)
{
	struct call call = call_within(ASK_SECONDS, delivery->cancel);
	int rc = hello_ask_at(delivery->guest, &call, port, out, err);

	switch (rc) {
	case 0:
		if (strcmp(out->build, file->build) == 0)
			return OURS;
		hello_drop(out);
		return STRANGER;
	case -EPROTONOSUPPORT:
	case -ETIMEDOUT:
		return STRANGER;
	case -ECONNREFUSED:
	case -ECONNRESET:
		return NOBODY;
	default:
		return rc;
	}
}

/*
 * What our agent is started with.  It lets only the host in, which is CID 2 for it, unless the
 * guest is this machine itself, reached over the loopback's CID.
 */
static void write_listen(const struct guest *guest, uint32_t port, char *text, size_t size)
{
	bool loopback = guest->dial.kind == ADDRESS_VSOCK && guest->dial.cid == VMADDR_CID_LOCAL;

	if (guest->ops.agent_listen)
		guest->ops.agent_listen(port, text, size);
	else
		snprintf(text, size, "vsock:%u%s", port, loopback ? " --any-peer" : "");
}

/* Uploads and starts.  *ENDED: it did not stay, as ERR says. */
static int bring(const struct delivery *delivery, const struct agent_file *file, uint32_t port,
		 bool *ended, struct error *err)
{
	enum delivered outcome = DELIVERED_NOT;
	char listen[256];
	int rc = deliver_upload(delivery, file, err);

	delivery->moved(delivery->arg);
	write_listen(delivery->guest, port, listen, sizeof(listen));
	if (rc == 0)
		rc = deliver_start(delivery, listen, &outcome, err);
	delivery->moved(delivery->arg);
	if (rc < 0) {
		deliver_sweep(delivery);
		return rc;
	}
	*ended = outcome == DELIVERED_ENDED;
	return outcome == DELIVERED_NOT ? -EOPNOTSUPP : 0;
}

/* As look, after an agent was started, or found the port taken by one that has just been. */
static int look_again(const struct delivery *delivery, const struct agent_file *file, uint32_t port,
		      struct hello *out, struct error *err)
{
	struct call call = call_within(ASK_SECONDS, delivery->cancel);
	int who = look(delivery, file, port, out, err);

	while (who == NOBODY && call_sleep(&call, PAUSE) == 0)
		who = look(delivery, file, port, out, err);
	return who;
}

/* OURS, STRANGER, or negative. */
static int settle_at(const struct delivery *delivery, const struct agent_file *file, uint32_t port,
		     bool *brought, struct hello *out, struct error *err)
{
	struct error why = { 0 };
	bool ended = false;
	int rc = look(delivery, file, port, out, err);

	if (rc != NOBODY)
		return rc;
	*brought = true;
	rc = bring(delivery, file, port, &ended, &why);
	if (rc < 0 || (ended && !strstr(why.text, strerror(EADDRINUSE))))
		return error_copy(err, &why);
	rc = look_again(delivery, file, port, out, &why);
	if (rc == NOBODY)
		rc = error_set(err, EOPNOTSUPP,
			       "vsockfs's agent was started in the guest, but cannot be reached: "
			       "%.500s",
			       why.text);
	else if (rc < 0)
		error_copy(err, &why);
	return rc;
}

/* All ports in turn, until the agent is at one. */
static int settle(const struct delivery *delivery, const struct agent_file *file, struct hello *out,
		  uint32_t *port, struct error *err)
{
	int uploads = 0;

	for (unsigned i = 0; i < TRIES && uploads < UPLOADS; i++) {
		bool brought = false;
		int rc;

		*port = port_of(file, i);
		if (*port == delivery->guest->dial.port)
			continue;
		rc = settle_at(delivery, file, *port, &brought, out, err);
		if (rc != STRANGER)
			return rc < 0 ? rc : 0;
		uploads += brought;
	}
	return error_set(
		err, EOPNOTSUPP,
		"strangers listen on the ports of the guest that vsockfs's agent would use");
}

int deliver_agent(const struct delivery *delivery, struct hello *out, uint32_t *port,
		  struct error *err)
{
	struct guest *guest = delivery->guest;
	struct agent_file file;
	int rc;

	if (transport_choose(&guest->ops, &guest->dial) == TRANSPORT_UNIX)
		return error_set(
			err, EOPNOTSUPP,
			"the guest's agent speaks only the line dialect, and behind a unix: "
			"socket there is no other");
	rc = agent_file_find(delivery->machine, &file, err);
	if (rc < 0)
		return rc;
	rc = settle(delivery, &file, out, port, err);
	agent_file_close(&file);
	return rc;
}
