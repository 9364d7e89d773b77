// The server's interface. Nothing else is ever asked: the page's policy allows this origin alone.
export class Api {
  token = sessionStorage.getItem("rung-token") ?? "";

  headers() {
    const headers = { "Content-Type": "application/json" };
    if (this.token) headers.Authorization = `Bearer ${this.token}`;
    return headers;
  }

  async check(response) {
    if (response.ok) {
      if (this.token) sessionStorage.setItem("rung-token", this.token);
      return response;
    }
    let message = `${response.status} ${response.statusText}`;
    try {
      message = (await response.json()).error.message;
    } catch { /* not ours: the status has to do */ }
    throw Object.assign(new Error(message), { status: response.status });
  }

  async get(path) {
    return (await this.check(await fetch(path, { headers: this.headers() }))).json();
  }

  // Calls each(object) for every event of the stream.
  async stream(path, body, signal, each) {
    const response = await this.check(await fetch(path, {
      method: "POST", headers: this.headers(), body: JSON.stringify({ ...body, stream: true }), signal,
    }));
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const events = (rest + value).split("\n\n");
      rest = events.pop();
      for (const event of events) {
        if (!event.startsWith("data: ") || event === "data: [DONE]") continue;
        const object = JSON.parse(event.slice(6));
        if (object.error) throw new Error(object.error.message);
        each(object);
      }
    }
  }
}
