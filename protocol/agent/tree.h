/* tree.h - whole directory trees of the agent's own, without following links. */
#ifndef VSOCKFS_AGENT_TREE_H
#define VSOCKFS_AGENT_TREE_H

/* Removes NAME in the directory AT, with what is below it.  0, also if it is not there. */
int tree_remove(int at, const char *name);

/* Makes everything below the directory FD readable for its owner only: 0600, directories 0700. */
int tree_make_private(int fd);

#endif
