# ---- part 4: the tester of a tool session: blocks in, what they printed out, one namespace

GRACE_S = 1.0       # of a block that was interrupted; then its process ends, and the namespace


class SessionTester(AssertTester):
    """Time and output over the limit interrupt the block first, so that the namespace lives on."""

    def start(self):
        super().start()
        self.interrupted = None
        for data in self.outputs.values():
            data.clear()

    def end(self, reason, detail=""):
        if reason in ("time-out", "output flood") and self.status is None:
            now = time.monotonic()
            if self.interrupted is None:
                self.interrupted = now, reason, detail
                signal.pidfd_send_signal(self.pidfd, signal.SIGINT)
                return
            if now - self.interrupted[0] < GRACE_S:
                return
            reason, detail = self.interrupted[1:]
        super().end(reason, detail)

    def drain(self):
        """What was printed before the answer came."""
        for fd in self.outputs:
            while select.select([fd], [], [], 0)[0]:
                n = self.n_output
                self.take_output(fd)
                if self.n_output == n:
                    break


def answer_block(tester, source):
    """[reason, detail, value, alive] of one block."""
    tester.start()
    try:
        reply = tester.ask({"op": "block", "a": [tester.enc(source.decode())]})
        reason, detail, value = (str(x) for x in reply)
        tester.drain()
        if tester.interrupted:
            reason, detail = tester.interrupted[1:]
        return [reason, detail, value[:VALUE_MAX], True]
    except Stop as e:
        return [e.reason, e.detail, "", False]
    except UnicodeDecodeError as e:
        return ["compile error", f"not UTF-8: {e.reason} at byte {e.start}", "", True]
    except Exception as e:              # an answer that is none: the program wrote it
        return ["tampered", f"not an answer: {type(e).__name__}", "", tester.status is None]


def answer_blocks(job, tester):
    """Frames in: {"wall", "cpu"} with the block's text; out: what it printed, stdout then stderr."""
    while True:
        try:
            head, source = recv(job)
        except EOFError:
            return
        tester.limits["wall"], tester.limits["cpu"] = head["wall"], head["cpu"]
        reason, detail, value, alive = answer_block(tester, source)
        wall, cpu = tester.used()
        out, err = (bytes(data) for data in tester.outputs.values())
        send(job, {"reason": reason, "detail": detail[:400], "alive": alive, "wall": wall, "cpu": cpu,
                   "n_out": len(out), "n_err": len(err)}, out + err + value.encode("utf-8", "replace"))


def answer_rewrites(job, tester):
    """One frame in: a program and what is wanted; one out: its rewrites, found in the walled process."""
    head, source = recv(job)
    tester.start()
    try:
        args = [source.decode(), head["seed"], head["per_line"], head["first_line"]]
        found = tester.ask({"op": "rewrite", "a": tester.enc_all(args)})
        reply = {"rewrites": [[int(line), str(mode), str(op), str(whole), int(a), int(b), str(text)]
                              for line, mode, op, whole, a, b, text in found]}
    except Stop as e:
        reply = {"error": f"{e.reason}: {e.detail}"[:300]}
    except Exception as e:
        reply = {"error": f"{type(e).__name__}: {e}"[:300]}
    send(job, reply)
