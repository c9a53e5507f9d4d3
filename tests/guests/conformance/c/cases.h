/** The cases of conformance that wait for nothing. */
#include <stdlib.h>
#include <string.h>

#include "shaddock.h"

static bool where(const sd_json *message, sd_session *session, sd_text *answer) {
  (void)message, (void)session;
  *answer = sd_format("{\"server\":%t}", sd_own_id());
  return true;
}

static bool join(const sd_json *message, sd_session *session, sd_text *answer) {
  (void)message, (void)answer;
  sd_member member;
  bool is_new;
  return sd_member_of(session, &member) && sd_join(sd_str("all"), member, &is_new);
}

static bool echo_remote(const sd_json *args, sd_text *answer) {
  *answer = sd_write(args);
  return true;
}

static bool echo(const sd_json *message, sd_session *session, sd_text *answer) {
  (void)session;
  return echo_remote(message, answer);
}

static bool ids(const sd_json *message, sd_session *session, sd_text *answer) {
  (void)session;
  uint64_t id;
  if (!sd_u64_field(message, "id", &id)) return false;
  *answer = sd_format("{\"id\":%U,\"text\":\"%U\"}", id, id);
  return true;
}

static bool note(const sd_json *message, sd_session *session, sd_text *answer) {
  (void)session, (void)answer;
  return sd_push(sd_str("all"), "onNote", sd_write(message));
}

static bool fields(const sd_json *message, sd_session *session, sd_text *answer) {
  (void)session;
  static const sd_json none = {.kind = SD_NULL};
  const sd_json *maybe = sd_field(message, "maybe");
  *answer = sd_format("{\"maybe\":%T}", sd_write(maybe ? maybe : &none));
  return true;
}

static bool size(const sd_json *message, sd_session *session, sd_text *answer) {
  (void)session;
  sd_text text;
  if (!sd_text_field(message, "text", &text)) return false;
  *answer = sd_format("{\"chars\":%u}", (uint32_t)sd_chars(text));
  return true;
}

static bool big(const sd_json *message, sd_session *session, sd_text *answer) {
  (void)session;
  uint64_t chars;
  if (!sd_u64_field(message, "chars", &chars)) return false;
  sd_text text = {sd_alloc(chars), chars};
  memset(text.ptr, 'x', chars);
  *answer = sd_format("{\"text\":%t}", text);
  return true;
}

static bool fail_remote(const sd_json *args, sd_text *answer) {
  (void)answer;
  uint64_t code;
  sd_text why;
  if (!sd_u64_field(args, "code", &code) || !sd_text_field(args, "message", &why)) return false;
  return sd_fail((uint32_t)code, "%T", why);
}

static bool fail(const sd_json *message, sd_session *session, sd_text *answer) {
  (void)session;
  return fail_remote(message, answer);
}

static bool crash(const sd_json *message, sd_session *session, sd_text *answer) {
  (void)session, (void)answer;
  sd_text text;
  return sd_text_field(message, "text", &text) && sd_fail(500, "%T", text);
}

static bool wrong(const sd_json *message, sd_session *session, sd_text *answer) {
  (void)message, (void)session;
  *answer = sd_str("{");
  return true;
}

static bool trap(const sd_json *message, sd_session *session, sd_text *answer) {
  (void)message, (void)session, (void)answer;
  abort();
}

static volatile uint32_t turns;

static bool spin(const sd_json *message, sd_session *session, sd_text *answer) {
  (void)message, (void)session, (void)answer;
  for (;;) turns++;
}

static uint32_t deeper(uint32_t depth) {
  volatile uint32_t kept = depth;
  return kept == UINT32_MAX ? 0 : 1 + deeper(kept + 1) + kept;
}

static bool recurse(const sd_json *message, sd_session *session, sd_text *answer) {
  (void)message, (void)session;
  *answer = sd_format("{\"depth\":%u}", deeper(0));
  return true;
}

static bool print(const sd_json *message, sd_session *session, sd_text *answer) {
  (void)session, (void)answer;
  sd_text text;
  if (!sd_text_field(message, "text", &text)) return false;
  static uint8_t binary[] = "\0\x1b[31m\xff\xc3\xed\xa0\x80\nforged";
  sd_log(SHADDOCK_PLUGIN_APP_LEVEL_INFO, "%T %T", text, (sd_text){binary, sizeof binary - 1});
  return true;
}

static bool chance(const sd_json *message, sd_session *session, sd_text *answer) {
  (void)message, (void)session;
  *answer = sd_format("{\"number\":%u}", sd_random());
  return true;
}
