/**
 * A host for unit tests, which run on this machine: `shaddock test` builds each C file of `test/` and runs it, without a server.
 *
 *     #include "shaddock_test.h"
 *
 *     #include "../guess.c"
 *
 *     static void whoever_enters_is_bound(void) {
 *       uint64_t ann = st_connect(NULL);
 *       st_is(st_request(ann, "connector.roomHandler.enter", "{\"name\":\"ann\"}"), "{\"name\":\"ann\"}");
 *       st_is(st_uid(ann), "ann");
 *     }
 *
 *     int main(void) {
 *       st_test("whoever enters is bound", whoever_enters_is_bound);
 *       return st_end();
 *     }
 *
 * It behaves as a server with one frontend does: sessions keep their users and settings, channels their members, and what
 * the plugin sends, calls, sets and logs is kept to be looked at. A call that has no answer prepared fails with 404. Texts
 * are C strings here, and live until the end of the program. What the plugin keeps in memory is for the test to clear.
 *
 * It has the functions of sdk_plugin.h that the SDKs for C and Zig use, and their nearest relatives; of another one the linker
 * says that it is not there.
 */
#ifndef SHADDOCK_TEST_H
#define SHADDOCK_TEST_H

#include "sdk_plugin.h"

/** The frontend of all sessions. */
#define ST_FRONTEND "connector-1"
/** The plugin's own server. */
#define ST_SERVER "area-1"

/* --- tests --- */

/** Runs a test with a host that knows nothing: no sessions, settings `{}`, the time 0, random bytes that count from 0. */
void st_test(const char *name, void (*test)(void));
/** Forgets everything, as each test begins. */
void st_begin(void);
/** Says how it went; 0 if all tests passed. */
int st_end(void);
/** The test fails unless this holds. */
#define st_check(holds) st_checked((holds), __FILE__, __LINE__, #holds)
/** The test fails unless two texts are the same. */
#define st_is(is, expected) st_compared((is), (expected), __FILE__, __LINE__)
void st_checked(bool holds, const char *file, int line, const char *what);
void st_compared(const char *is, const char *expected, const char *file, int line);

/* --- what there is --- */

/** What plugins.json has as the plugin's settings, JSON; the plugin's `init` runs again. */
void st_settings(const char *json);
/** Milliseconds since 1970; the other clock stands at the same time. */
void st_now(uint64_t ms);
/** The first of the random bytes; each is one more than the one before, since some wait for a number that fits. */
void st_random(uint8_t first);
/** A server that is up. */
void st_server(const char *id, const char *server_type);
/** What a remote of another plugin answers from now on, JSON; `method` is `serverType.service.method`. */
void st_answer(const char *method, const char *json);

/* --- what happens --- */

/** A client that has connected, with this user unless it is NULL. Answers its session's number. */
uint64_t st_connect(const char *uid);
/** Sends a message as a client does. Answers what the client gets: JSON, of a failure `{"code":…}`. */
const char *st_request(uint64_t session, const char *route, const char *json);
/** Calls a remote of the plugin as another plugin does. Answers JSON, of a failure `{"code":…}`. */
const char *st_remote(const char *method, const char *json);
/** The server of a type that the route function picks for a text; of a failure `{"code":…}`. */
const char *st_route(const char *server_type, const char *text);
/** The message of the last failure. */
const char *st_why(void);
/** Ends a session. */
void st_disconnect(uint64_t session, const char *reason);

/* --- what came of it --- */

/** The user of a session as its frontend has it; NULL if there is none. */
const char *st_uid(uint64_t session);
/** A setting as the frontend has it, JSON; NULL if it was never pushed. */
const char *st_setting(uint64_t session, const char *key);

/** A message to clients; `to` has their users, with a comma between them, or is `*` for a broadcast. */
typedef struct {
  const char *to, *route, *json;
} st_push;

/** A call to another plugin. */
typedef struct {
  const char *to, *method, *json;
} st_call;

/** A timer that is set. */
typedef struct {
  uint64_t id, ms;
  bool again;
  const char *name, *json;
} st_timer;

/** A line of the log. */
typedef struct {
  shaddock_plugin_app_level_t level;
  const char *text;
} st_line;

/** What was sent, called, set and logged, in order, and how many there are of each. */
extern const st_push *st_pushes;
extern const st_call *st_calls;
extern const st_timer *st_timers;
extern const st_line *st_log;
extern size_t st_push_count, st_call_count, st_timer_count, st_line_count;

/** The last push; one with empty texts if there is none. */
st_push st_last_push(void);
/** Lets a timer of `st_timers` go off. Answers whether its function succeeded. */
bool st_fire(uint64_t id);

#endif
