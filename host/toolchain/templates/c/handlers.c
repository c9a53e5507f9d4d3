/** Greets whoever asks. */
#include "shaddock.h"

/** Greets a client, counts how often it came, and pushes `onGreet` to it. */
static bool greet(const sd_json *message, sd_session *session, sd_text *answer) {
  sd_text name, greeting;
  if (!sd_text_field(message, "name", &name)) return false;
  if (sd_chars(name) == 0) return sd_fail(400, "a name has at least one letter");
  const sd_json *before = sd_setting(session, "visits");
  uint32_t visits = (before ? (uint32_t)before->number : 0) + 1;
  sd_text told = sd_format("{\"visits\":%u}", visits);
  if (!sd_set(session, "visits", sd_format("%u", visits)) || !sd_push_settings(session)) return false;
  sdk_plugin_string_t route = sd_str("onGreet");
  sdk_plugin_list_u8_t body = {(uint8_t *)told.ptr, told.len};
  sd_failure failure;
  if (!sd_check(shaddock_plugin_sessions_send(&session->id, &route, &body, &failure), &failure)) return false;
  sd_log(SHADDOCK_PLUGIN_APP_LEVEL_INFO, "%T came %u times", name, visits);
  if (!sd_text_field(sd_settings(), "greeting", &greeting)) return false;
  sd_text text = sd_format("%T, %T!", greeting, name);
  *answer = sd_format("{\"text\":%t,\"visits\":%u}", text, visits);
  return true;
}

const sd_plugin shaddock_plugin = {
  .routes = (const sd_route[]){{"connector.helloHandler.greet", greet}, {0}},
};
