/* Parts of the calibration: the probe times matrix products, the file keeps the result. */
#ifndef RUNG_SRC_CALIBRATE_H
#define RUNG_SRC_CALIBRATE_H
#include "model/weights.h"

/* One matrix of each shape and type of a file, at most PROBE_NUMBERS of its weights, in every type
 * that is asked for, in the buffers in which libllama would put it (repacked where it would). */
typedef struct probe probe;
rung_status rung_probe_open(probe **out, const char *path, const bool want[RUNG_WEIGHTS_COUNT],
                            rung_error *err);
void rung_probe_close(probe *p);
/* Which part of n_threads cores this process gets, 0..1: less than all when others use them. */
double rung_probe_share(probe *p, int32_t n_threads);
/* Seconds of this thread's own computing where it is the only one, else of the wall's clock: what
 * other processes take does not count then. */
double rung_probe_clock(int32_t n_threads);
/* Seconds that all matrix products of the model take for n tokens, of the wanted types; least of
 * `reps`, types taken in turn so that a noisy moment meets all. head_s: of the vocabulary head. */
rung_status rung_probe_time(double body_s[RUNG_WEIGHTS_COUNT], double head_s[RUNG_WEIGHTS_COUNT],
                            probe *p, const bool want[RUNG_WEIGHTS_COUNT], int32_t n,
                            int32_t n_threads, int reps, rung_error *err);

/* What identifies the machine: hash over CPU, its flags, cores, libllama. cpu: its name. */
void rung_machine_id(char id[33], char cpu[96]);
rung_status rung_calibration_put(const rung_calibration *c, rung_error *err);
rung_status rung_calibration_read(rung_calibration *out, bool *found, const char *hash,
                                  rung_error *err);
/* Number of sequences that row w is best at: the least that reaches 95% of its best rate; 0 = not
 * measured. */
int32_t rung_calibration_n_seq(const rung_calibration *c, rung_weights w);
rung_status rung_weights_choose_of(rung_weights *out, const char *path, const char *hash,
                                   int32_t n_seq, const rung_log *log, rung_error *err);
#endif
