/** The cases that tests/tests/conformance.rs puts to every language. */
#include "cases.h"

/** Notes where to go. */
static bool enter(const sd_json *message, sd_session *session, sd_text *answer) {
  sd_text name, to;
  if (!sd_text_field(message, "name", &name) || !sd_text_field(message, "to", &to)) return false;
  if (!sd_bind(session, name) || !sd_set(session, "to", sd_format("%t", to)) || !sd_push_settings(session)) return false;
  *answer = sd_format("{\"name\":%t}", name);
  return true;
}

/** Calls a remote, and answers what became of it. */
static bool relay(const sd_json *message, sd_session *session, sd_text *answer) {
  (void)session;
  sd_text method, given;
  const sd_json *args = sd_field(message, "args");
  if (!args || !sd_text_field(message, "method", &method)) return false;
  sd_text name = sd_format("caseRemote.%T", method);
  char *c_name = sd_alloc(name.len + 1);
  memcpy(c_name, name.ptr, name.len);
  c_name[name.len] = 0;
  if (sd_call("conform", sd_str("relay"), c_name, sd_write(args), &given)) {
    *answer = sd_format("{\"answer\":%T}", given);
  } else {
    uint32_t code;
    sd_text why = sd_failed(&code);
    *answer = sd_format("{\"code\":%u,\"message\":%t}", code, why);
  }
  return true;
}

static bool route(const sd_route_key *key, const sd_server *servers, size_t count, uint32_t *index) {
  (void)servers;
  sd_text to = sd_key_text(key, "to");
  if (sd_same(to, sd_str("nowhere"))) return sd_fail(418, "no such way");
  return sd_pick(to, count, index);
}

const sd_plugin shaddock_plugin = {
  .routes = (const sd_route[]){
    {"connector.caseHandler.enter", enter},
    {"connector.caseHandler.relay", relay},
    {"conform.caseHandler.where", where},
    {"conform.caseHandler.join", join},
    {"conform.caseHandler.echo", echo},
    {"conform.caseHandler.ids", ids},
    {"conform.caseHandler.note", note},
    {"conform.caseHandler.fields", fields},
    {"conform.caseHandler.size", size},
    {"conform.caseHandler.big", big},
    {"conform.caseHandler.fail", fail},
    {"conform.caseHandler.crash", crash},
    {"conform.caseHandler.wrong", wrong},
    {"conform.caseHandler.trap", trap},
    {"conform.caseHandler.spin", spin},
    {"conform.caseHandler.recurse", recurse},
    {"conform.caseHandler.print", print},
    {"conform.caseHandler.chance", chance},
    {0},
  },
  .remotes = (const sd_remote[]){{"conform.caseRemote.echo", echo_remote}, {"conform.caseRemote.fail", fail_remote}, {0}},
  .routers = (const sd_router[]){{"conform", route}, {0}},
};
