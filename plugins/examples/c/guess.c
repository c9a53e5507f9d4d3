/**
 * Guess the number, in rooms.
 *
 * A client enters a room at its connector, joins it on the guess server that the room's name leads to, and guesses. The
 * rooms live in the plugin's memory: on guess servers it has the pool policy `single`.
 */
#include <stdlib.h>

#include "shaddock.h"

/** The largest number that can be the secret; the smallest is 1. */
#define NUMBER_MAX 100
/** Longest name of a player or a room, in characters. */
#define NAME_CHARS_MAX 32

/** What is being played in a room. */
typedef struct round {
  struct round *next;
  sd_text room;
  uint32_t number, secret;
  uint64_t timer;
} round;

static round *rounds;

static round *round_of(sd_text room) {
  round *at = rounds;
  while (at && !sd_same(at->room, room)) at = at->next;
  return at;
}

/** Begins a round of a room, in which there is so much time to guess. */
static bool begin(round *round, uint32_t number) {
  const sd_json *ms = sd_field(sd_settings(), "roundMs");
  sd_text payload = sd_format("{\"room\":%t,\"round\":%u}", round->room, number);
  round->number = number;
  round->secret = 1 + sd_random() % NUMBER_MAX;
  return sd_after(ms ? (uint64_t)ms->number : 60000, "round", payload, &round->timer);
}

/** Ends a round, and begins the next. */
static bool end(round *round) {
  sd_cancel(round->timer);
  return begin(round, round->number + 1);
}

/** Connector: a session has gone, or enters another room. */
static bool left(sd_session *session, sd_text reason) {
  (void)reason;
  sd_member member;
  sd_text answer;
  const sd_json *room = sd_setting(session, "room");
  if (!room || !sd_member_of(session, &member)) return true;
  sd_text args = sd_format("{\"frontend\":%t,\"room\":%t,\"uid\":%t}", member.frontend_id, room->text, member.uid);
  return sd_call("guess", room->text, "roomRemote.leave", args, &answer);
}

static bool fits(sd_text name) {
  size_t chars = sd_chars(name);
  return chars >= 1 && chars <= NAME_CHARS_MAX;
}

/** Connector: notes who is in which room, so that the route function knows. */
static bool enter(const sd_json *message, sd_session *session, sd_text *answer) {
  sd_text name, room;
  if (!sd_text_field(message, "name", &name) || !sd_text_field(message, "room", &room)) return false;
  if (!fits(name) || !fits(room)) return sd_fail(400, "a name has 1 to %u characters", NAME_CHARS_MAX);
  if (!sd_bind(session, name) || !left(session, sd_str(""))) return false;
  if (!sd_set(session, "room", sd_format("%t", room)) || !sd_push_settings(session)) return false;
  *answer = sd_format("{\"name\":%t,\"room\":%t}", name, room);
  return true;
}

/** Connector: asks the guess server that has the room. */
static bool look(const sd_json *message, sd_session *session, sd_text *answer) {
  (void)session;
  sd_text room;
  if (!sd_text_field(message, "room", &room)) return false;
  return sd_call("guess", room, "roomRemote.status", sd_format("{\"room\":%t}", room), answer);
}

/** Route function: the guess server of the room's name. */
static bool by_room(const sd_route_key *key, const sd_server *servers, size_t count, uint32_t *index) {
  (void)servers;
  return sd_pick(sd_key_text(key, "room"), count, index);
}

/** The room of a session, and who it is there. */
static bool place_of(const sd_session *session, sd_text *room, sd_member *member) {
  const sd_json *setting = sd_setting(session, "room");
  if (!setting) return sd_fail(403, "enter a room first");
  *room = setting->text;
  return sd_member_of(session, member);
}

static bool join(const sd_json *message, sd_session *session, sd_text *answer) {
  (void)message;
  sd_text room;
  sd_member member;
  bool is_new;
  if (!place_of(session, &room, &member) || !sd_join(room, member, &is_new)) return false;
  round *current = round_of(room);
  if (!current) {
    current = malloc(sizeof *current);
    *current = (round){.next = rounds, .room = sd_copy(room)};
    rounds = current;
    if (!begin(current, 1)) return false;
  }
  sd_text told = sd_format("{\"name\":%t,\"room\":%t}", member.uid, room);
  if (is_new && !sd_push(room, "onJoin", told)) return false;
  sd_member *members;
  size_t count;
  if (!sd_members(room, &members, &count)) return false;
  sd_text players = sd_str("");
  for (size_t i = 0; i < count; i++) players = sd_format(i ? "%T,%t" : "%T%t", players, members[i].uid);
  *answer = sd_format("{\"players\":[%T],\"room\":%t,\"round\":%u}", players, room, current->number);
  return true;
}

static bool guess(const sd_json *message, sd_session *session, sd_text *answer) {
  double number;
  if (!sd_number_field(message, "number", &number)) return false;
  if (!(number >= 1 && number <= NUMBER_MAX) || number != (uint32_t)number) {
    return sd_fail(400, "number is a whole number from 1 to %u", NUMBER_MAX);
  }
  sd_text room;
  sd_member member;
  if (!place_of(session, &room, &member)) return false;
  round *current = round_of(room);
  if (!current || !sd_is_member(room, member.uid)) return sd_fail(403, "join the room first");
  uint32_t played = current->number, secret = current->secret;
  const char *hint = number < secret ? "higher" : number > secret ? "lower" : "right";
  if (number == secret) {
    sd_text told = sd_format("{\"name\":%t,\"number\":%u,\"room\":%t,\"round\":%u}", member.uid, secret, room, played);
    if (!end(current) || !sd_push(room, "onRight", told)) return false;
  }
  *answer = sd_format("{\"answer\":\"%s\",\"round\":%u}", hint, played);
  return true;
}

/** Timer: nobody found the number in time. */
static bool time_up(const sd_json *payload) {
  sd_text room;
  double number;
  if (!sd_text_field(payload, "room", &room) || !sd_number_field(payload, "round", &number)) return false;
  round *ended = round_of(room);
  if (!ended || ended->number != number) return true; /* found at the last moment */
  sd_text told = sd_format("{\"number\":%u,\"room\":%t,\"round\":%u}", ended->secret, room, ended->number);
  return end(ended) && sd_push(room, "onTimeout", told);
}

/** Remote: what goes on in a room. */
static bool status(const sd_json *args, sd_text *answer) {
  sd_text room;
  sd_member *members;
  size_t count;
  if (!sd_text_field(args, "room", &room)) return false;
  round *current = round_of(room);
  if (!current) return sd_fail(404, "nobody plays in %T", room);
  if (!sd_members(room, &members, &count)) return false;
  *answer = sd_format("{\"players\":%u,\"room\":%t,\"round\":%u,\"server\":%t}", (uint32_t)count, room, current->number,
                      sd_own_id());
  return true;
}

/** Remote: takes a player out of a room, and ends the game with the last one. */
static bool leave(const sd_json *args, sd_text *answer) {
  (void)answer;
  sd_text room;
  sd_member member, *members;
  size_t count;
  if (!sd_text_field(args, "room", &room) || !sd_text_field(args, "uid", &member.uid) ||
      !sd_text_field(args, "frontend", &member.frontend_id)) {
    return false;
  }
  if (!sd_leave(room, member)) return true;
  if (!sd_members(room, &members, &count)) return false;
  if (count) return sd_push(room, "onLeave", sd_format("{\"name\":%t,\"room\":%t}", member.uid, room));
  for (round **at = &rounds; *at; at = &(*at)->next) {
    round *ended = *at;
    if (!sd_same(ended->room, room)) continue;
    *at = ended->next;
    sd_cancel(ended->timer);
    free(ended->room.ptr);
    free(ended);
    break;
  }
  return true;
}

/** What becomes of an error that nobody handles: the client gets its code, and the log the message. */
static bool crash(const sd_json *message, sd_session *session, sd_text *answer) {
  (void)session, (void)answer;
  sd_text text;
  return sd_text_field(message, "text", &text) && sd_fail(500, "%T", text);
}

const sd_plugin shaddock_plugin = {
  .routes = (const sd_route[]){
    {"connector.roomHandler.enter", enter},
    {"connector.roomHandler.status", look},
    {"guess.roomHandler.join", join},
    {"guess.roomHandler.guess", guess},
    {"guess.roomHandler.crash", crash},
    {0},
  },
  .remotes = (const sd_remote[]){{"guess.roomRemote.status", status}, {"guess.roomRemote.leave", leave}, {0}},
  .routers = (const sd_router[]){{"guess", by_room}, {0}},
  .timers = (const sd_timer[]){{"round", time_up}, {0}},
  .session_closed = left,
};
