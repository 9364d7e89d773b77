/* The sandbox that several commands run programs in: its options, opening it. */
#include "cli/session.h"
#include "rung/code.h"
#include <string.h>

static const cli_opt sandbox_opts[] = {
    OPT_CHOICE(
        "sandbox", "bwrap", "bwrap|limits", CLI_KEY,
        "walls: bubblewrap, or without namespaces (weaker: only where bubblewrap cannot run)"),
    OPT_REAL("wall", "10", "S", 0.1, 3600, CLI_KEY, "seconds of one test or block"),
    OPT_REAL("cpu", "5", "S", 0.1, 3600, CLI_KEY, "CPU seconds of one test or block"),
    OPT_INT("memory", "512", "MIB", 32, 65536, CLI_KEY, "memory of one program"),
    OPT_INT("output", "1024", "KIB", 1, 65536, CLI_KEY, "what one test or block may print"),
    OPT_INT("boxes", "0", "N", 0, 64, CLI_FREE, "programs at once; 0: one per core"),
};
const cli_group cli_sandbox_group = CLI_GROUP_OF("sandbox", sandbox_opts);

rung_status cli_sandbox(rung_sandbox **out, const cli_call *c, rung_error *err) {
    rung_sandbox_opts o = RUNG_SANDBOX_OPTS_INIT;
    if (strcmp(cli_str(c, "sandbox"), "limits") == 0) o.mode = RUNG_SANDBOX_LIMITS;
    o.n_boxes = (uint32_t)cli_int(c, "boxes");
    o.limits.wall_s = cli_real(c, "wall");
    o.limits.cpu_s = cli_real(c, "cpu");
    o.limits.memory = (uint64_t)cli_int(c, "memory") << 20;
    o.limits.output = (uint64_t)cli_int(c, "output") << 10;
    RUNG_TRY(rung_sandbox_new(out, &o, err));
    cli_say(c->app, "sandbox: %s", rung_sandbox_describe_view(*out));
    return RUNG_OK;
}
