/* make_report DIR: builds the store of the tests in DIR and writes DIR/report.html from it. */
#include "../unit/bench/bench_fixture.h"

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: make_report DIR\n");
        return 2;
    }
    char store[1024], page[1024], aside[1040];
    snprintf(store, sizeof store, "%s/report.db", argv[1]);
    snprintf(page, sizeof page, "%s/report.html", argv[1]);
    const char *const suffix[] = {"", "-wal", "-shm"};
    for (int i = 0; i < 3; i++) {
        snprintf(aside, sizeof aside, "%s%s", store, suffix[i]);
        remove(aside);
    }
    fixture f;
    fix_full(&f, store, 60);
    fix_measure(&f);
    FIX(rung_report_write(page, f.store, "Sums </title><script>document.title='owned'</script>",
                          "rung run recipes/sums.yaml && rung report", NULL, err));
    rung_store_close(f.store);
    printf("%s\n", page);
    return 0;
}
