/* The policies of formats as options. */
#ifndef RUNG_SRC_CLI_FORMAT_OPTS_H
#define RUNG_SRC_CLI_FORMAT_OPTS_H
#include "cli/session.h"
#include "rung/format.h"

extern const cli_group cli_format_read_group, cli_format_write_group;
/* Of the groups that the command has. */
void cli_format_opts(rung_format_opts *o, cli_call *c);
#endif
