/*
 * link_kit.c - see link_kit.h.
 */
#include "tests/unit/cmocka_all.h"

#include "guest_fixture.h"
#include "link_kit.h"
#include "protocol/session/ops.h"

int link_kit_stat_root(struct guest *guest, double seconds, uint64_t *generation, struct error *err)
{
	autobuf struct buf args = BUF_INIT(64), reply = BUF_INIT(4096);
	struct call call = call_within(seconds, NULL);
	int rc;

	pack_text(&args, "");
	rc = link_call(guest_link(guest), &call, OP_STAT, &args, &reply, generation, err);
	if (rc == 0)
		assert_int_equal(reply.len, OPS_ATTR_SIZE);
	return rc;
}

int link_kit_ask(struct guest *guest, enum session_op op, struct error *err)
{
	struct call call = call_within(LONG, NULL);

	return link_call(guest_link(guest), &call, op, NULL, NULL, NULL, err);
}

int link_kit_hello(struct guest *guest, struct error *err)
{
	struct call call = call_within(LONG, NULL);

	return guest_hello(guest, &call, err);
}

struct link_info link_kit_info_of(struct guest *guest)
{
	struct link_info info;

	link_get_info(guest_link(guest), &info);
	return info;
}

void link_kit_breathe(void)
{
	struct call call = call_within(1, NULL);

	call_sleep(&call, 0.002);
}
