/*
 * service_news.c - what the guest says of a service.
 */
#include <errno.h>
#include <string.h>

#include "ctl/guest.h"
#include "ctl/service.h"

bool service_runs(const struct proc_service *service)
{
	return strcmp(service->state, "running") == 0;
}

void service_update(struct service *service, struct proc_service *fresh)
{
	struct object *object = &service->job.object;
	struct proc_service old;
	bool news, ended;

	pthread_mutex_lock(&object->lock);
	old = service->last;
	news = !service->known || strcmp(old.state, fresh->state) != 0 ||
	       old.started_at != fresh->started_at;
	ended = news && !service_runs(fresh);
	service->last = *fresh;
	service->known = true;
	if (news)
		clock_gettime(CLOCK_REALTIME, &object->changed);
	pthread_mutex_unlock(&object->lock);
	if (news)
		events_add(&object->guest->events, "service %s %s", object->name, fresh->state);
	*fresh = (struct proc_service){ 0 };
	proc_service_free(&old);
	if (ended)
		cguest_changed(object->guest, NULL);
	if (news)
		waitq_wake(&service->wait);
}

/* The guest, which is another one now, has forgotten it.  Who waited for its end waits in vain. */
static void lose(struct service *service)
{
	struct object *object = &service->job.object;
	struct error why;
	bool was_there;

	pthread_mutex_lock(&object->lock);
	was_there = service->known;
	service->known = false;
	proc_service_free(&service->last);
	service->last = (struct proc_service){ 0 };
	pthread_mutex_unlock(&object->lock);
	if (!was_there)
		return;
	error_set(&why, EIO, "the guest was restarted, and does not know the service any more");
	tree_set_error(object, &why);
	events_add(&object->guest->events, "service %s lost", object->name);
	waitq_fail(&service->wait, EIO);
}

int service_refresh(struct service *service, const struct call *call, struct error *err)
{
	struct object *object = &service->job.object;
	struct proc_service fresh = { 0 };
	bool asks;
	int rc = 0;

	pthread_mutex_lock(&object->lock);
	asks = service->known && !service->starting;
	pthread_mutex_unlock(&object->lock);
	if (asks)
		rc = proc_service_status(cguest_guest(object), call, object->name, &fresh, err);
	if (asks && rc == 0)
		service_update(service, &fresh);
	proc_service_free(&fresh);
	if (rc == -ENOENT)
		lose(service);
	return rc == -ENOENT ? 0 : rc;
}
