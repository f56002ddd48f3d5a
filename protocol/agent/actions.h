/*
 * actions.h - the actions of the line dialect, as the dispatcher's table names
 * them.  What each takes and answers is in docs/protocol.md.
 */
#ifndef VSOCKFS_AGENT_ACTIONS_H
#define VSOCKFS_AGENT_ACTIONS_H

#include "protocol/agent/request.h"

/* exec.c */
int action_exec(struct request *request, struct reply *reply, struct error *err);

/* transfer.c */
int action_extract_archive(struct request *request, struct reply *reply, struct error *err);
int action_export_archive(struct request *request, struct reply *reply, struct error *err);

/* secrets.c */
int action_install_secrets(struct request *request, struct reply *reply, struct error *err);

/* list.c, files.c */
int action_list_workspace(struct request *request, struct reply *reply, struct error *err);
int action_read_workspace_file(struct request *request, struct reply *reply, struct error *err);
int action_write_workspace_file(struct request *request, struct reply *reply, struct error *err);
int action_delete_workspace_path(struct request *request, struct reply *reply, struct error *err);

/* shell_actions.c */
struct shell_status;
void shell_status_reply(const struct shell_status *status, struct reply *reply); /* SHELL */
int action_open_shell(struct request *request, struct reply *reply, struct error *err);
int action_read_shell(struct request *request, struct reply *reply, struct error *err);
int action_write_shell(struct request *request, struct reply *reply, struct error *err);
int action_signal_shell(struct request *request, struct reply *reply, struct error *err);
int action_close_shell(struct request *request, struct reply *reply, struct error *err);

/* service_actions.c */
int action_start_service(struct request *request, struct reply *reply, struct error *err);
int action_status_service(struct request *request, struct reply *reply, struct error *err);
int action_logs_service(struct request *request, struct reply *reply, struct error *err);
int action_stop_service(struct request *request, struct reply *reply, struct error *err);

#endif
