/** Tests of the game, which need no server: `shaddock test`. */
#include <stdio.h>

#include "shaddock_test.h"

#include "../guess.c"

/** A player in the room `lobby`. */
static uint64_t player(void) {
  rounds = NULL;
  st_settings("{\"roundMs\":1000}");
  uint64_t ann = st_connect(NULL);
  st_is(st_request(ann, "connector.roomHandler.enter", "{\"name\":\"ann\",\"room\":\"lobby\"}"),
        "{\"name\":\"ann\",\"room\":\"lobby\"}");
  st_is(st_request(ann, "guess.roomHandler.join", "{}"), "{\"players\":[\"ann\"],\"room\":\"lobby\",\"round\":1}");
  return ann;
}

/** A JSON text with a number in it. */
static const char *with_number(const char *format, uint32_t number) {
  static char text[100];
  snprintf(text, sizeof text, format, number);
  return text;
}

static void entering_binds_the_user_and_notes_the_room(void) {
  uint64_t ann = player();
  st_is(st_uid(ann), "ann");
  st_is(st_setting(ann, "room"), "\"lobby\"");
  st_is(st_last_push().route, "onJoin");
  st_is(st_last_push().to, "ann");
}

static void the_secret_is_right_and_begins_a_new_round(void) {
  uint64_t ann = player();
  uint32_t secret = rounds->secret;
  st_is(st_request(ann, "guess.roomHandler.guess", with_number("{\"number\":%u}", secret)), "{\"answer\":\"right\",\"round\":1}");
  st_is(st_last_push().route, "onRight");
  st_check(rounds->number == 2);
  st_is(st_last_push().json, with_number("{\"name\":\"ann\",\"number\":%u,\"room\":\"lobby\",\"round\":1}", secret));
  st_check(st_timer_count == 1 && st_timers[0].ms == 1000);
  st_is(st_timers[0].json, "{\"room\":\"lobby\",\"round\":2}");
}

static void a_round_ends_when_its_time_is_up(void) {
  player();
  st_check(st_fire(st_timers[0].id));
  st_is(st_last_push().route, "onTimeout");
  st_check(rounds->number == 2 && st_timer_count == 1);
}

static void what_makes_no_sense_is_refused(void) {
  uint64_t ann = player();
  const char *bodies[] = {"{", "{}", "{\"number\":0}", "{\"number\":101}", "{\"number\":1.5}"};
  for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
    st_is(st_request(ann, "guess.roomHandler.guess", bodies[i]), "{\"code\":400}");
  }
  st_is(st_request(ann, "guess.roomHandler.crash", "{\"text\":\"boom\"}"), "{\"code\":500}");
  st_is(st_why(), "guess.roomHandler.crash: boom");
}

static void whoever_leaves_is_gone(void) {
  uint64_t ann = player();
  st_answer("guess.roomRemote.leave", "null");
  st_disconnect(ann, "client closed");
  st_check(st_call_count == 1);
  st_is(st_calls[0].json, "{\"frontend\":\"" ST_FRONTEND "\",\"room\":\"lobby\",\"uid\":\"ann\"}");
  st_is(st_remote("guess.roomRemote.leave", st_calls[0].json), "null");
  st_check(!rounds && st_timer_count == 0);
}

static void a_room_is_on_the_server_of_its_name(void) {
  st_server("guess-0", "guess");
  st_server("guess-1", "guess");
  st_is(st_route("guess", "porch"), "guess-1");
  st_is(st_route("guess", "yard"), "guess-0");
  st_is(st_route("area", "porch"), "{\"code\":404}");
}

int main(void) {
  st_test("entering binds the user and notes the room", entering_binds_the_user_and_notes_the_room);
  st_test("the secret is right and begins a new round", the_secret_is_right_and_begins_a_new_round);
  st_test("a round ends when its time is up", a_round_ends_when_its_time_is_up);
  st_test("what makes no sense is refused", what_makes_no_sense_is_refused);
  st_test("whoever leaves is gone", whoever_leaves_is_gone);
  st_test("a room is on the server of its name", a_room_is_on_the_server_of_its_name);
  return st_end();
}
