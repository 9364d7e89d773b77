"""The openai package against rung serve. Run by test_cli_serve_clients.sh; exit 1: a broken promise."""
import os
import sys

import openai

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import serve_lib
from serve_lib import ASK, Server, check

MESSAGES = [{"role": "user", "content": ASK}]


def main():
    s = Server("--method", "sc")
    client = openai.OpenAI(base_url=s.url + "/v1", api_key="none", max_retries=0, timeout=60)
    names = [m.id for m in client.models.list()]
    check("models", "tiny" in names[0] and any(n.endswith(":beam") for n in names), names)
    model = names[0]
    r = client.chat.completions.create(model=model + ":sample", messages=MESSAGES, temperature=0, logprobs=True, top_logprobs=2)
    text = r.choices[0].message.content
    check("chat", text.startswith("28+2=30") and r.choices[0].finish_reason == "stop" and r.usage.total_tokens > 0, r)
    check("logprobs", "".join(t.token for t in r.choices[0].logprobs.content) == text)
    stream = client.chat.completions.create(model=model + ":sample", messages=MESSAGES, temperature=0, stream=True,
                                            stream_options={"include_usage": True})
    chunks = list(stream)
    check("stream", "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == text and chunks[-1].usage.total_tokens > 0)
    r = client.chat.completions.create(model=model, messages=MESSAGES, n=2, seed=1, extra_body={"rung": {"method": "beam", "n": 2}})
    check("a search", len(r.choices) == 2 and r.model_extra["rung"]["method"] == "beam", r)
    r = client.chat.completions.create(model=model + ":majority", messages=MESSAGES)
    check("a method in the model's name", r.model_extra["rung"]["choices"][0]["traces"] > 1, r)
    r = client.completions.create(model=model, prompt=ASK, max_tokens=1, logprobs=5, echo=True)
    check("echo", r.choices[0].text.startswith(ASK) and r.choices[0].logprobs.token_logprobs[0] is None
          and len(r.choices[0].logprobs.tokens) == len(r.choices[0].logprobs.text_offset), r)
    stream = client.chat.completions.create(model=model, messages=MESSAGES, stream=True, extra_body={"rung": {"method": "beam", "events": True}})
    events = [c for c in stream if "event" in (c.model_extra.get("rung") or {})]
    check("events do no harm", len(events) > 4)
    for what, kind, call in [
            ("400", openai.BadRequestError, lambda: client.chat.completions.create(model=model, messages=MESSAGES, n=1000)),
            ("404", openai.NotFoundError, lambda: client.chat.completions.create(model="gpt-4", messages=MESSAGES))]:
        try:
            call()
            check(what, False)
        except kind as e:
            check(what, bool(e.body.get("message")), e)
    check("ends well", s.stop() == 0, s.errors())
    s = Server(env={"RUNG_SERVE_TOKEN": "s3cret"})
    check("token", len(list(openai.OpenAI(base_url=s.url + "/v1", api_key="s3cret").models.list())) > 2)
    try:
        openai.OpenAI(base_url=s.url + "/v1", api_key="wrong", max_retries=0).models.list()
        check("wrong token", False)
    except openai.AuthenticationError:
        check("wrong token", True)
    check("ends well", s.stop() == 0)
    print(f"serve_openai: {serve_lib.n_checks} checks, {serve_lib.failures} failed")
    sys.exit(serve_lib.failures > 0)


main()
