/* Errors in OpenAI's shape. */
#include "serve/work.h"

#include <string.h>

const char *serve_code_of(int status) {
    switch (status) {
    case 400: return "invalid_request";
    case 401: return "unauthorized";
    case 403: return "forbidden";
    case 404: return "not_found";
    case 405: return "method_not_allowed";
    case 413: return "too_large";
    case 429: return "too_many_requests";
    case 502: return "endpoint_failed";
    case 503: return "unavailable";
    case 504: return "deadline_exceeded";
    default: return "internal_error";
    }
}

void serve_error_json(rung_buf *b, int status, const char *code, const char *message,
                      const char *hint) {
    const char *type = status == 401   ? "authentication_error"
                       : status == 429 ? "rate_limit_error"
                       : status < 500  ? "invalid_request_error"
                                       : "server_error";
    rung_buf text;
    rung_buf_init(&text, 4096);
    rung_buf_str(&text, message && *message ? message : "no reason is known");
    if (hint && *hint) rung_buf_printf(&text, " (%s)", hint);
    rung_buf_str(b, "{\"error\":{\"message\":");
    rung_buf_json_str(b, text.data ? text.data : "", text.n);
    rung_buf_printf(b, ",\"type\":\"%s\",\"param\":null,\"code\":\"%s\"}}", type,
                    code ? code : serve_code_of(status));
    rung_buf_clear(&text);
}
