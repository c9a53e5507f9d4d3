/** The cases that tests/tests/conformance.rs puts to plugins with many calls in flight. */
#include "../c/cases.h"

/** Notes where to go. */
static bool enter(sd_task *task, const sd_json *message, sd_session *session, sd_text *answer) {
  struct {
    sd_text name;
    sd_pending *bound, *pushed;
  } *my = sd_state(task, sizeof *my);
  sd_text to;
  SD_BEGIN(task);
  if (!sd_text_field(message, "name", &my->name)) return false;
  my->bound = sd_begin_bind(session, my->name);
  SD_AWAIT(task);
  if (!sd_end(my->bound) || !sd_text_field(message, "to", &to) || !sd_set(session, "to", sd_format("%t", to))) return false;
  my->pushed = sd_begin_push_settings(session);
  SD_AWAIT(task);
  if (!sd_end(my->pushed)) return false;
  *answer = sd_format("{\"name\":%t}", my->name);
  SD_END(task);
}

/** A text as a C string. */
static const char *c_string(sd_text text) {
  char *copy = sd_alloc(text.len + 1);
  memcpy(copy, text.ptr, text.len);
  copy[text.len] = 0;
  return copy;
}

/** Calls a remote, and answers what became of it. */
static bool relay(sd_task *task, const sd_json *message, sd_session *session, sd_text *answer) {
  (void)session;
  sd_pending **asked = sd_state(task, sizeof *asked);
  const sd_json *args = sd_field(message, "args");
  sd_text method, given;
  uint32_t code;
  SD_BEGIN(task);
  if (!args || !sd_text_field(message, "method", &method)) return false;
  *asked = sd_begin_call("conform", sd_str("relay"), c_string(sd_format("caseRemote.%T", method)), sd_write(args));
  SD_AWAIT(task);
  if (sd_end_call(*asked, &given)) {
    *answer = sd_format("{\"answer\":%T}", given);
  } else {
    sd_text why = sd_failed(&code);
    *answer = sd_format("{\"code\":%u,\"message\":%t}", code, why);
  }
  SD_END(task);
}

/** Makes so many calls at once; answers how many were in flight, and the sum of what they were given. */
static bool gather(sd_task *task, const sd_json *message, sd_session *session, sd_text *answer) {
  (void)session;
  struct {
    uint64_t count;
    sd_pending **asked;
  } *my = sd_state(task, sizeof *my);
  uint64_t most = 0, sum = 0;
  SD_BEGIN(task);
  if (!sd_u64_field(message, "count", &my->count)) return false;
  my->asked = sd_alloc(my->count * sizeof *my->asked);
  for (uint64_t i = 0; i < my->count; i++) {
    my->asked[i] = sd_begin_call("conform", sd_str("gather"), "caseRemote.meet", sd_format("%U", i));
  }
  SD_AWAIT(task);
  for (uint64_t i = 0; i < my->count; i++) {
    sd_text given;
    if (!sd_end_call(my->asked[i], &given)) return false;
    const sd_json *pair = sd_parse(given);
    sum += (uint64_t)pair->first->number;
    if (most < pair->first->next->number) most = (uint64_t)pair->first->next->number;
  }
  *answer = sd_format("{\"most\":%U,\"sum\":%U}", most, sum);
  SD_END(task);
}

/** Of the calls of `meet`: how many are in flight, and how many there were at most. */
static uint32_t here, most_here;

/** Waits for another server with others beside it; answers the most that were there at once. */
static bool meet(sd_task *task, const sd_json *number, sd_text *answer) {
  sd_pending **asked = sd_state(task, sizeof *asked);
  sd_text given;
  SD_BEGIN(task);
  if (++here > most_here) most_here = here;
  *asked = sd_begin_call("conform", sd_str("meet"), "caseRemote.echo", sd_write(number));
  SD_AWAIT(task);
  if (!sd_end_call(*asked, &given)) return false;
  here--;
  *answer = sd_format("[%T,%u]", sd_write(number), most_here);
  SD_END(task);
}

/** Sets the call's own copy of the session, waits, and pushes it. */
static bool own(sd_task *task, const sd_json *value, sd_session *session, sd_text *answer) {
  sd_pending **asked = sd_state(task, sizeof *asked);
  sd_text given;
  sd_session fresh;
  SD_BEGIN(task);
  if (!sd_set(session, "own", sd_write(value))) return false;
  *asked = sd_begin_call("conform", sd_str("own"), "caseRemote.echo", sd_write(value));
  SD_AWAIT(task);
  if (!sd_end_call(*asked, &given)) return false;
  *asked = sd_begin_push_settings(session);
  SD_AWAIT(task);
  if (!sd_end(*asked)) return false;
  *asked = sd_begin_get(session);
  SD_AWAIT(task);
  if (!sd_end_get(*asked, &fresh)) return false;
  *answer = sd_format("{\"now\":%T}", sd_write(sd_setting(&fresh, "own")));
  shaddock_plugin_types_session_free(&fresh);
  SD_END(task);
}

/** Sets a timer that pushes what it is given. */
static bool soon(const sd_json *message, sd_session *session, sd_text *answer) {
  (void)session, (void)answer;
  uint64_t timer;
  return sd_after(20, "soon", sd_write(message), &timer);
}

static bool came(sd_task *task, const sd_json *message) {
  sd_pending **asked = sd_state(task, sizeof *asked);
  sd_text given;
  SD_BEGIN(task);
  *asked = sd_begin_call("conform", sd_str("soon"), "caseRemote.echo", sd_write(message));
  SD_AWAIT(task);
  if (!sd_end_call(*asked, &given) || !sd_push(sd_str("all"), "onSoon", given)) return false;
  SD_END(task);
}

const sd_plugin shaddock_plugin = {
  .routes = (const sd_route[]){
    {"connector.caseHandler.enter", .step = enter},
    {"connector.caseHandler.relay", .step = relay},
    {"connector.caseHandler.gather", .step = gather},
    {"connector.caseHandler.own", .step = own},
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
    {"conform.caseHandler.soon", soon},
    {0},
  },
  .remotes = (const sd_remote[]){
    {"conform.caseRemote.echo", echo_remote},
    {"conform.caseRemote.fail", fail_remote},
    {"conform.caseRemote.meet", .step = meet},
    {0},
  },
  .timers = (const sd_timer[]){{"soon", .step = came}, {0}},
};
