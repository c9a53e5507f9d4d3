/**
 * Write Shaddock plugins in C.
 *
 * A plugin is a table of functions, `shaddock_plugin`. Each answers true, or false after it said why: with `sd_fail`, or
 * because a function here did. What functions here give lives until the end of the call; what is to live longer is
 * copied. Texts are UTF-8 with a length, and may hold any character, NUL too.
 *
 * The types and all that the host offers are in `sdk_plugin.h`, generated from wit/plugin.wit; `sd_check` takes its failures.
 */
#ifndef SHADDOCK_H
#define SHADDOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sdk_plugin.h"

typedef sdk_plugin_string_t sd_text;
typedef shaddock_plugin_types_session_t sd_session;
typedef shaddock_plugin_types_member_t sd_member;
typedef shaddock_plugin_types_server_info_t sd_server;
typedef shaddock_plugin_types_failure_t sd_failure;

/* --- texts and memory --- */

/** Memory until the end of the call. */
void *sd_alloc(size_t size);
/** The text of a C string, which must live as long. */
sd_text sd_str(const char *c_string);
bool sd_same(sd_text a, sd_text b);
/** How many characters it has. */
size_t sd_chars(sd_text text);
/** A copy that lives until `free(copy.ptr)`. */
sd_text sd_copy(sd_text text);
/**
 * A text by a format: `%t` is an sd_text as a JSON string, `%T` one as it is, `%s` a C string as it is, `%u` a uint32_t,
 * `%U` a uint64_t, `%%` a percent sign.
 */
sd_text sd_format(const char *format, ...);

/* --- JSON --- */

typedef enum { SD_NULL, SD_BOOL, SD_NUMBER, SD_TEXT, SD_ARRAY, SD_OBJECT } sd_kind;

typedef struct sd_json {
  sd_kind kind;
  bool truth;             /**< of SD_BOOL */
  double number;          /**< of SD_NUMBER */
  sd_text text;           /**< of SD_TEXT; of SD_NUMBER its digits, as they came */
  sd_text key;            /**< of what is in an object */
  struct sd_json *first;  /**< of SD_ARRAY and SD_OBJECT */
  struct sd_json *next;   /**< in its array or object */
} sd_json;

/** The value of a JSON text; NULL if it is none. */
const sd_json *sd_parse(sd_text text);
/** A value as JSON: numbers with the digits that they came with. */
sd_text sd_write(const sd_json *value);
/** A field of an object; NULL if there is none, or `object` is none. The last of several with one name. */
const sd_json *sd_field(const sd_json *object, const char *name);
/** A field that is a text; fails (400) if it is none. */
bool sd_text_field(const sd_json *object, const char *name, sd_text *text);
/** A field that is a number; fails (400) if it is none. */
bool sd_number_field(const sd_json *object, const char *name, double *number);
/** A field that is a whole number of up to 64 bits, all of which it keeps; fails (400) if it is none. */
bool sd_u64_field(const sd_json *object, const char *name, uint64_t *number);

/* --- failures and the log --- */

/** Says why the call fails, and answers false: `return sd_fail(404, "no %T", name);` */
bool sd_fail(uint32_t code, const char *format, ...);
/** What the last function that answered false said: its code and its message. */
sd_text sd_failed(uint32_t *code);
/** Takes the outcome of a function of sdk_plugin.h, and frees its failure. */
bool sd_check(bool ok, sd_failure *failure);
/** Writes a line to the server's log; bytes that are no UTF-8 become question marks. The level is one of SHADDOCK_PLUGIN_APP_LEVEL_*. */
void sd_log(shaddock_plugin_app_level_t level, const char *format, ...);

/* --- the server --- */

/** The plugin's own settings from plugins.json. */
const sd_json *sd_settings(void);
/** The id of the server that this instance runs in. */
sd_text sd_own_id(void);
/** A random number of cryptographic quality. */
uint32_t sd_random(void);

/* --- sessions --- */

/** A setting; NULL if it was never set or is null. */
const sd_json *sd_setting(const sd_session *session, const char *key);
/** Changes a setting of this copy to a JSON text; `sd_push_settings` lets the next call see it. */
bool sd_set(sd_session *session, const char *key, sd_text json);
#ifndef SHADDOCK_CONCURRENT
/** Writes all settings of this copy to the frontend. */
bool sd_push_settings(sd_session *session);
/** Binds a user. The same user again is fine, another one fails (409). */
bool sd_bind(sd_session *session, sd_text uid);
#endif
/** The user as a channel knows it; fails (401) if none is bound. */
bool sd_member_of(const sd_session *session, sd_member *member);

/* --- channels, calls, timers --- */

/** Adds a member to a channel; `is_new` is false if it was one already. */
bool sd_join(sd_text channel, sd_member member, bool *is_new);
/** Removes a member. False if it was none. */
bool sd_leave(sd_text channel, sd_member member);
/** The members of a channel; none if there is no such channel. */
bool sd_members(sd_text channel, sd_member **members, size_t *count);
bool sd_is_member(sd_text channel, sd_text uid);
/** Sends a push message, JSON, to all members of a channel. */
bool sd_push(sd_text channel, const char *route, sd_text json);
#ifndef SHADDOCK_CONCURRENT
/** Calls a remote `service.method` on the server of a type that the route function picks for a text. */
bool sd_call(const char *server_type, sd_text key, const char *method, sd_text json, sd_text *answer);
#endif
/** Calls the function of that name in `timers` once, after a delay. */
bool sd_after(uint64_t delay_ms, const char *name, sd_text json, uint64_t *timer);
/** False if there is no such timer any more. */
bool sd_cancel(uint64_t timer);

#ifdef SHADDOCK_CONCURRENT
/* --- waiting --- */

/**
 * One call of a plugin that has many in flight. A function that waits is called again when all that it asked is answered,
 * and goes on behind its SD_AWAIT; its variables are lost, so what is to stay is in the state:
 *
 *     static bool prices(sd_task *task, const sd_json *message, sd_session *session, sd_text *answer) {
 *       struct { sd_pending *north, *south; } *my = sd_state(task, sizeof *my);
 *       sd_text north, south;
 *       SD_BEGIN(task);
 *       my->north = sd_begin_call("shop", sd_str("north"), "shopRemote.price", sd_str("{}"));
 *       my->south = sd_begin_call("shop", sd_str("south"), "shopRemote.price", sd_str("{}"));
 *       SD_AWAIT(task);
 *       if (!sd_end_call(my->north, &north) || !sd_end_call(my->south, &south)) return false;
 *       *answer = sd_format("[%T,%T]", north, south);
 *       SD_END(task);
 *     }
 *
 * Between SD_BEGIN and SD_END there is no `switch`, and no variable is declared that is used behind an SD_AWAIT.
 */
typedef struct {
  int line;     /**< where it goes on */
  bool waits;
  void *state;
} sd_task;

/** Memory for a call's variables, until its end: zeroes at first, the same ever after. */
void *sd_state(sd_task *task, size_t size);

#define SD_BEGIN(task) switch ((task)->line) { case 0:
/** Waits until all that was begun is answered. */
#define SD_AWAIT(task) do { (task)->line = __LINE__; (task)->waits = true; return true; case __LINE__:; } while (0)
#define SD_END(task) } return true

/** A question that was begun. Its `sd_end…` comes behind an SD_AWAIT, once, and answers false if it failed. */
typedef struct sd_pending sd_pending;

/** Calls a remote `service.method` on the server of a type that the route function picks for a text. */
sd_pending *sd_begin_call(const char *server_type, sd_text key, const char *method, sd_text json);
bool sd_end_call(sd_pending *question, sd_text *answer);
/** Writes all settings of this copy to the frontend. Ends with sd_end. */
sd_pending *sd_begin_push_settings(sd_session *session);
/** Binds a user. The same user again is fine, another one fails (409). Ends with sd_end. */
sd_pending *sd_begin_bind(sd_session *session, sd_text uid);
bool sd_end(sd_pending *question);
/** The session as its frontend sees it now; `shaddock_plugin_types_session_free` frees it. */
sd_pending *sd_begin_get(const sd_session *session);
bool sd_end_get(sd_pending *question, sd_session *session);
#endif

/* --- the plugin --- */

/** What a route function decides by: a session, or (that is NULL) the caller's own text. */
typedef struct {
  const sd_session *session;
  sd_text value;
} sd_route_key;

/** The caller's own text, or that setting of the session; empty if there is neither. */
sd_text sd_key_text(const sd_route_key *key, const char *setting);
/** The position that a text's hash names: `abs(crc32(text)) % count`, as pomelo's dispatchers do. Fails (503) if count is 0. */
bool sd_pick(sd_text text, size_t count, uint32_t *index);

typedef struct {
  const char *name;
  /** An empty answer is `{}`. */
  bool (*function)(const sd_json *message, sd_session *session, sd_text *answer);
#ifdef SHADDOCK_CONCURRENT
  /** In its place, one that waits. */
  bool (*step)(sd_task *task, const sd_json *message, sd_session *session, sd_text *answer);
#endif
} sd_route;

typedef struct {
  const char *name;
  bool (*function)(const sd_json *args, sd_text *answer);
#ifdef SHADDOCK_CONCURRENT
  bool (*step)(sd_task *task, const sd_json *args, sd_text *answer);
#endif
} sd_remote;

typedef struct {
  const char *server_type;
  /** Answers a position in `servers`. No import but the log can be called. */
  bool (*function)(const sd_route_key *key, const sd_server *servers, size_t count, uint32_t *index);
} sd_router;

typedef struct {
  const char *name;
  bool (*function)(const sd_json *payload);
#ifdef SHADDOCK_CONCURRENT
  bool (*step)(sd_task *task, const sd_json *payload);
#endif
} sd_timer;

/** What a plugin offers. Each table ends with an entry of zeroes; each part can be left out. */
typedef struct {
  const sd_route *routes;
  const sd_remote *remotes;
#ifndef SHADDOCK_CONCURRENT
  const sd_router *routers;
#endif
  const sd_timer *timers;
  bool (*init)(void);
  bool (*start)(void);
  bool (*stop)(void);
  bool (*session_closed)(sd_session *session, sd_text reason);
} sd_plugin;

/** To be defined by the plugin. */
extern const sd_plugin shaddock_plugin;

#endif
