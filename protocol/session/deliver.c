#include "protocol/session/deliver.h"
#include <errno.h>
int deliver_agent(const struct delivery *delivery, struct hello *out, uint32_t *port,
		  struct error *err)
{
	(void)delivery;
	(void)out;
	(void)port;
	return error_set(err, EOPNOTSUPP, "not yet");
}
