#include "shaddock_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A test ends soon: nothing is freed but what the plugin frees. The SDK is not used here, since it may be that of another
 * language. */

typedef sdk_plugin_string_t text;
typedef shaddock_plugin_types_session_id_t session_id;
typedef shaddock_plugin_types_session_t raw_session;
typedef shaddock_plugin_types_member_t raw_member;
typedef shaddock_plugin_types_server_info_t raw_server;
typedef shaddock_plugin_types_failure_t failure;
typedef sdk_plugin_list_u8_t bytes;

static void *memory_of(void *old, size_t size) {
  void *memory = realloc(old, size ? size : 1);
  if (!memory) abort();
  return memory;
}

/** A C string of a text. */
static const char *string_of(text of) {
  char *string = memory_of(NULL, of.len + 1);
  if (of.len) memcpy(string, of.ptr, of.len);
  string[of.len] = 0;
  return string;
}

static const char *string_of_bytes(const bytes *bytes) {
  return string_of((text){bytes->ptr, bytes->len});
}

/** A text that is the plugin's to free. */
static text given(const char *string) {
  text copy = {NULL, strlen(string)};
  if (copy.len) copy.ptr = memcpy(memory_of(NULL, copy.len), string, copy.len);
  return copy;
}

static bool are_same(const char *a, const char *b) {
  return strcmp(a, b) == 0;
}

static bool is(const text *a, const char *b) {
  return a->len == strlen(b) && (!a->len || memcmp(a->ptr, b, a->len) == 0);
}

/** Two texts with one between them. */
static const char *joined(const char *a, const char *between, const char *b) {
  size_t len = strlen(a) + strlen(between) + strlen(b) + 1;
  char *all = memory_of(NULL, len);
  snprintf(all, len, "%s%s%s", a, between, b);
  return all;
}

/** Room for one more in a list of entries. */
static void *more(void *list, size_t count, size_t entry) {
  return memory_of(list, (count + 1) * entry);
}

/* --- what the host knows --- */

typedef struct {
  const char *key, *value;
} setting;

typedef struct {
  uint64_t number;
  const char *uid;
  setting *settings;
  size_t count;
  bool is_open;
} session;

typedef struct {
  const char *uid, *frontend;
} member;

typedef struct {
  const char *name;
  member *members;
  size_t count;
  bool stays;
} channel;

typedef struct {
  const char *id, *server_type;
} server;

typedef struct {
  const char *method, *json;
} prepared;

static struct {
  const char *settings, *why;
  uint64_t now_ms, last_timer;
  uint8_t random;
  session *sessions;
  channel *channels;
  server *servers;
  prepared *answers;
  size_t session_count, channel_count, server_count, answer_count;
  /** The session of which the running call has a copy; NULL if it has none. */
  session *copy;
  st_push *pushes;
  st_call *calls;
  st_timer *timers;
  st_line *log;
} host;

const st_push *st_pushes;
const st_call *st_calls;
const st_timer *st_timers;
const st_line *st_log;
size_t st_push_count, st_call_count, st_timer_count, st_line_count;

/* --- tests --- */

static size_t tests, failed_tests;
static bool has_failed;

void st_begin(void) {
  memset(&host, 0, sizeof host);
  st_pushes = NULL, st_calls = NULL, st_timers = NULL, st_log = NULL;
  st_push_count = st_call_count = st_timer_count = st_line_count = 0;
  host.why = "";
  st_settings("{}");
  st_server(ST_SERVER, "area");
}

void st_test(const char *name, void (*test)(void)) {
  st_begin();
  has_failed = false;
  test();
  tests++;
  failed_tests += has_failed;
  printf("%s: %s\n", has_failed ? "FAILED" : "ok", name);
}

int st_end(void) {
  printf("%zu tests, %zu failed\n", tests, failed_tests);
  return failed_tests || !tests;
}

void st_checked(bool holds, const char *file, int line, const char *what) {
  if (holds) return;
  has_failed = true;
  printf("%s:%d: does not hold: %s\n", file, line, what);
}

void st_compared(const char *is, const char *expected, const char *file, int line) {
  if (is == expected || (is && expected && are_same(is, expected))) return;
  has_failed = true;
  printf("%s:%d: it is %s\n    and not %s\n", file, line, is ? is : "NULL", expected ? expected : "NULL");
}

/* --- what there is --- */

void st_settings(const char *json) {
  failure failed;
  text told = given(json);
  host.settings = json;
  if (!exports_shaddock_plugin_lifecycle_init(&told, &failed)) {
    st_checked(false, "init", 0, string_of(failed.message));
  }
}

void st_now(uint64_t ms) {
  host.now_ms = ms;
}

void st_random(uint8_t first) {
  host.random = first;
}

void st_server(const char *id, const char *server_type) {
  host.servers = more(host.servers, host.server_count, sizeof *host.servers);
  host.servers[host.server_count++] = (server){id, server_type};
}

void st_answer(const char *method, const char *json) {
  host.answers = more(host.answers, host.answer_count, sizeof *host.answers);
  host.answers[host.answer_count++] = (prepared){method, json};
}

/* --- sessions, as the frontend and calls have them --- */

uint64_t st_connect(const char *uid) {
  host.sessions = more(host.sessions, host.session_count, sizeof *host.sessions);
  uint64_t number = host.session_count + 1;
  host.sessions[host.session_count++] = (session){.number = number, .uid = uid, .is_open = true};
  return number;
}

static session *session_of(uint64_t number) {
  if (!number || number > host.session_count) return NULL;
  session *found = &host.sessions[number - 1];
  return found->is_open ? found : NULL;
}

static void put_setting(session *of, const char *key, const char *value) {
  for (size_t i = 0; i < of->count; i++) {
    if (are_same(of->settings[i].key, key)) {
      of->settings[i].value = value;
      return;
    }
  }
  of->settings = more(of->settings, of->count, sizeof *of->settings);
  of->settings[of->count++] = (setting){key, value};
}

const char *st_uid(uint64_t number) {
  session *found = session_of(number);
  return found ? found->uid : NULL;
}

const char *st_setting(uint64_t number, const char *key) {
  session *found = session_of(number);
  for (size_t i = 0; found && i < found->count; i++) {
    if (are_same(found->settings[i].key, key)) return found->settings[i].value;
  }
  return NULL;
}

/** The session as a call gets it. */
static raw_session session_for_call(const session *of) {
  raw_session raw = {.id = {given(ST_FRONTEND), of->number}};
  raw.uid.is_some = of->uid != NULL;
  if (of->uid) raw.uid.val = given(of->uid);
  raw.settings.len = of->count;
  if (of->count) raw.settings.ptr = memory_of(NULL, of->count * sizeof *raw.settings.ptr);
  for (size_t i = 0; i < of->count; i++) {
    raw.settings.ptr[i] =
        (shaddock_plugin_types_setting_t){given(of->settings[i].key), given(of->settings[i].value)};
  }
  return raw;
}

/** A copy whose settings change alone. */
static session copy_of(const session *of) {
  session copy = *of;
  copy.settings = memory_of(NULL, of->count * sizeof *of->settings);
  if (of->count) memcpy(copy.settings, of->settings, of->count * sizeof *of->settings);
  return copy;
}

/* --- what happens --- */

/** What a client gets of a failure. */
static const char *told_failure(const failure *err) {
  char told[24];
  snprintf(told, sizeof told, "{\"code\":%u}", err->code);
  host.why = string_of(err->message);
  return string_of((text){(uint8_t *)told, strlen(told)});
}

static bytes body_of(const char *json) {
  text body = given(json);
  return (bytes){body.ptr, body.len};
}

const char *st_request(uint64_t number, const char *route, const char *json) {
  session *found = session_of(number);
  if (!found) return "{\"code\":404}";
  session copy = copy_of(found), *before = host.copy;
  raw_session raw = session_for_call(found);
  text name = given(route);
  bytes body = body_of(json), answer;
  failure failed;
  host.copy = &copy;
  bool ok = exports_shaddock_plugin_handler_handle(&name, &body, &raw, &answer, &failed);
  host.copy = before;
  if (!ok) return told_failure(&failed);
  return answer.len ? string_of_bytes(&answer) : "{}";
}

const char *st_remote(const char *method, const char *json) {
  text name = given(method);
  bytes args = body_of(json), answer;
  failure failed;
  if (!exports_shaddock_plugin_remote_call(&name, &args, &answer, &failed)) return told_failure(&failed);
  return string_of_bytes(&answer);
}

static raw_server server_for_call(const server *of) {
  return (raw_server){
      .id = given(of->id),
      .server_type = given(of->server_type),
      .host = given("127.0.0.1"),
      .fields = given("{}"),
  };
}

/** All servers of a type. */
static raw_server *servers_of(const char *server_type, size_t *count) {
  raw_server *list = NULL;
  *count = 0;
  for (size_t i = 0; i < host.server_count; i++) {
    if (!are_same(host.servers[i].server_type, server_type)) continue;
    list = more(list, *count, sizeof *list);
    list[(*count)++] = server_for_call(&host.servers[i]);
  }
  return list;
}

const char *st_route(const char *server_type, const char *key_text) {
  text type = given(server_type);
  exports_shaddock_plugin_router_list_server_info_t servers;
  servers.ptr = servers_of(server_type, &servers.len);
  exports_shaddock_plugin_router_set_servers(&type, &servers);
  exports_shaddock_plugin_router_route_key_t key = {.tag = EXPORTS_SHADDOCK_PLUGIN_ROUTER_ROUTE_KEY_VALUE};
  key.val.value = given(key_text);
  exports_shaddock_plugin_router_target_t target;
  text method = given("test.test"), again = given(server_type);
  failure failed;
  if (!exports_shaddock_plugin_router_route(&again, &key, &method, &target, &failed)) return told_failure(&failed);
  size_t count;
  raw_server *list = servers_of(server_type, &count);
  if (target.tag == EXPORTS_SHADDOCK_PLUGIN_ROUTER_TARGET_ID) return string_of(target.val.id);
  uint32_t index = target.val.index;
  return index < count ? string_of(list[index].id) : "{\"code\":503}";
}

const char *st_why(void) {
  return host.why;
}

void st_disconnect(uint64_t number, const char *reason) {
  session *found = session_of(number);
  if (!found) return;
  raw_session raw = session_for_call(found);
  text why = given(reason);
  found->is_open = false;
  exports_shaddock_plugin_lifecycle_session_closed(&raw, &why);
}

bool st_fire(uint64_t id) {
  for (size_t i = 0; i < st_timer_count; i++) {
    st_timer timer = host.timers[i];
    if (timer.id != id) continue;
    if (!timer.again) shaddock_plugin_timers_cancel(id);
    text name = given(timer.name);
    bytes payload = body_of(timer.json);
    failure failed;
    bool ok = exports_shaddock_plugin_timer_fired(&name, id, &payload, &failed);
    if (!ok) told_failure(&failed);
    return ok;
  }
  return false;
}

st_push st_last_push(void) {
  return st_push_count ? st_pushes[st_push_count - 1] : (st_push){"", "", ""};
}

/* --- the imports: app --- */

static bool fails(failure *err, uint32_t code, const char *message) {
  *err = (failure){.code = code, .message = given(message)};
  return false;
}

void shaddock_plugin_app_log(shaddock_plugin_app_level_t level, text *message) {
  host.log = more(host.log, st_line_count, sizeof *host.log);
  host.log[st_line_count++] = (st_line){level, string_of(*message)};
  st_log = host.log;
}

void shaddock_plugin_app_own_server(raw_server *ret) {
  *ret = server_for_call(&host.servers[0]);
}

void shaddock_plugin_app_servers(text *server_type, shaddock_plugin_app_list_server_info_t *ret) {
  ret->ptr = servers_of(string_of(*server_type), &ret->len);
}

bool shaddock_plugin_app_server(text *id, raw_server *ret) {
  for (size_t i = 0; i < host.server_count; i++) {
    if (!are_same(host.servers[i].id, string_of(*id))) continue;
    *ret = server_for_call(&host.servers[i]);
    return true;
  }
  return false;
}

void shaddock_plugin_app_settings(text *ret) {
  *ret = given(host.settings);
}

uint64_t shaddock_plugin_app_now_ms(void) {
  return host.now_ms;
}

uint64_t shaddock_plugin_app_monotonic_ns(void) {
  return host.now_ms * 1000000;
}

void shaddock_plugin_app_random_bytes(uint32_t len, bytes *ret) {
  *ret = (bytes){memory_of(NULL, len), len};
  for (uint32_t i = 0; i < len; i++) ret->ptr[i] = host.random++;
}

/* --- sessions --- */

static bool find_session(const session_id *id, session **found, failure *err) {
  *found = session_of(id->number);
  return *found || fails(err, 404, "no such session");
}

static bool find_copy(const session_id *id, failure *err) {
  return (host.copy && host.copy->number == id->number) || fails(err, 400, "the call has no copy of that session");
}

bool shaddock_plugin_sessions_get(session_id *id, raw_session *ret, failure *err) {
  session *found;
  if (!find_session(id, &found, err)) return false;
  *ret = session_for_call(found);
  return true;
}

bool shaddock_plugin_sessions_bind(session_id *id, text *uid, failure *err) {
  session *found;
  const char *user = string_of(*uid);
  if (!find_session(id, &found, err)) return false;
  if (found->uid && !are_same(found->uid, user)) return fails(err, 409, "the session is bound to somebody else");
  found->uid = user;
  return true;
}

bool shaddock_plugin_sessions_unbind(session_id *id, text *uid, failure *err) {
  session *found;
  if (!find_session(id, &found, err)) return false;
  if (!found->uid || !are_same(found->uid, string_of(*uid))) {
    return fails(err, 409, "that user is not bound to the session");
  }
  found->uid = NULL;
  return true;
}

bool shaddock_plugin_sessions_set(session_id *id, text *key, text *value,
                                  failure *err) {
  if (!find_copy(id, err)) return false;
  put_setting(host.copy, string_of(*key), string_of(*value));
  return true;
}

bool shaddock_plugin_sessions_push(session_id *id, sdk_plugin_list_string_t *keys,
                                   failure *err) {
  session *found;
  if (!find_copy(id, err) || !find_session(id, &found, err)) return false;
  for (size_t i = 0; i < host.copy->count; i++) {
    setting one = host.copy->settings[i];
    bool wanted = !keys->len;
    for (size_t k = 0; k < keys->len; k++) wanted |= is(&keys->ptr[k], one.key);
    if (wanted) put_setting(found, one.key, one.value);
  }
  return true;
}

bool shaddock_plugin_sessions_kick(session_id *id, text *reason, failure *err) {
  (void)reason, (void)err;
  session *found = session_of(id->number);
  if (found) found->is_open = false;
  return true;
}

bool shaddock_plugin_sessions_address(session_id *id, text *ret, failure *err) {
  session *found;
  if (!find_session(id, &found, err)) return false;
  *ret = given("127.0.0.1:1024");
  return true;
}

static void keep_push(const char *to, const text *route, const bytes *body) {
  host.pushes = more(host.pushes, st_push_count, sizeof *host.pushes);
  host.pushes[st_push_count++] = (st_push){to, string_of(*route), string_of_bytes(body)};
  st_pushes = host.pushes;
}

bool shaddock_plugin_sessions_send(session_id *id, text *route, bytes *body,
                                   failure *err) {
  session *found;
  if (!find_session(id, &found, err)) return false;
  keep_push(found->uid ? found->uid : "", route, body);
  return true;
}

/* --- channels --- */

static channel *channel_of(const text *name) {
  for (size_t i = 0; i < host.channel_count; i++) {
    if (is(name, host.channels[i].name)) return &host.channels[i];
  }
  return NULL;
}

static channel *made_channel(const text *name) {
  channel *found = channel_of(name);
  if (found) return found;
  host.channels = more(host.channels, host.channel_count, sizeof *host.channels);
  host.channels[host.channel_count] = (channel){.name = string_of(*name)};
  return &host.channels[host.channel_count++];
}

static void drop_channel(channel *gone) {
  *gone = host.channels[--host.channel_count];
}

static size_t position_of(const channel *in, const raw_member *wanted) {
  size_t at = 0;
  while (at < in->count && !(is(&wanted->uid, in->members[at].uid) && is(&wanted->frontend_id, in->members[at].frontend))) {
    at++;
  }
  return at;
}

static raw_member member_for_call(member of) {
  return (raw_member){given(of.uid), given(of.frontend)};
}

/** Their users, with a comma between them. */
static const char *users_of(const channel *of) {
  const char *users = "";
  for (size_t i = 0; i < of->count; i++) users = joined(users, i ? "," : "", of->members[i].uid);
  return users;
}

bool shaddock_plugin_channels_create(text *name, bool *ret, failure *err) {
  (void)err;
  *ret = !channel_of(name);
  made_channel(name)->stays = true;
  return true;
}

bool shaddock_plugin_channels_join(text *name, raw_member *joining, bool *ret, failure *err) {
  (void)err;
  channel *in = made_channel(name);
  *ret = position_of(in, joining) == in->count;
  if (*ret) {
    in->members = more(in->members, in->count, sizeof *in->members);
    in->members[in->count++] = (member){string_of(joining->uid), string_of(joining->frontend_id)};
  }
  return true;
}

bool shaddock_plugin_channels_leave(text *name, raw_member *leaving) {
  channel *in = channel_of(name);
  size_t at = in ? position_of(in, leaving) : 0;
  if (!in || at == in->count) return false;
  for (in->count--; at < in->count; at++) in->members[at] = in->members[at + 1];
  if (!in->count && !in->stays) drop_channel(in);
  return true;
}

bool shaddock_plugin_channels_members(text *name, shaddock_plugin_channels_list_member_t *ret, failure *err) {
  channel *in = channel_of(name);
  if (!in) return fails(err, 404, "no such channel");
  ret->len = in->count;
  ret->ptr = memory_of(NULL, in->count * sizeof *ret->ptr);
  for (size_t i = 0; i < in->count; i++) ret->ptr[i] = member_for_call(in->members[i]);
  return true;
}

bool shaddock_plugin_channels_find(text *name, text *uid, raw_member *ret) {
  channel *in = channel_of(name);
  for (size_t i = 0; in && i < in->count; i++) {
    if (!is(uid, in->members[i].uid)) continue;
    *ret = member_for_call(in->members[i]);
    return true;
  }
  return false;
}

bool shaddock_plugin_channels_push(text *name, text *route, bytes *body, failure *err) {
  channel *in = channel_of(name);
  if (!in) return fails(err, 404, "no such channel");
  keep_push(users_of(in), route, body);
  return true;
}

bool shaddock_plugin_channels_push_to(shaddock_plugin_channels_list_member_t *members, text *route,
                                      bytes *body, failure *err) {
  if (!members->len) return fails(err, 400, "a push to nobody");
  const char *users = "";
  for (size_t i = 0; i < members->len; i++) users = joined(users, i ? "," : "", string_of(members->ptr[i].uid));
  keep_push(users, route, body);
  return true;
}

bool shaddock_plugin_channels_broadcast(text *server_type, text *route, bytes *body,
                                        bool bound_only, failure *err) {
  (void)server_type, (void)bound_only, (void)err;
  keep_push("*", route, body);
  return true;
}

bool shaddock_plugin_channels_destroy(text *name) {
  channel *gone = channel_of(name);
  if (gone) drop_channel(gone);
  return gone != NULL;
}

/* --- rpc --- */

static bool asks(const text *to, const text *server_type, const text *method, const bytes *args,
                 bytes *ret, failure *err) {
  host.calls = more(host.calls, st_call_count, sizeof *host.calls);
  host.calls[st_call_count++] = (st_call){string_of(*to), string_of(*method), string_of_bytes(args)};
  st_calls = host.calls;
  const char *name = joined(string_of(*server_type), ".", string_of(*method));
  for (size_t i = host.answer_count; i > 0; i--) {
    if (!are_same(name, host.answers[i - 1].method)) continue;
    *ret = body_of(host.answers[i - 1].json);
    return true;
  }
  return fails(err, 404, joined("the test has no answer of", " ", name));
}

bool shaddock_plugin_rpc_call(text *server_type, shaddock_plugin_rpc_route_key_t *key, text *method,
                              bytes *args, bytes *ret, failure *err) {
  (void)key;
  return asks(server_type, server_type, method, args, ret, err);
}

bool shaddock_plugin_rpc_call_server(text *server_id, text *method, bytes *args,
                                     bytes *ret, failure *err) {
  for (size_t i = 0; i < host.server_count; i++) {
    if (!is(server_id, host.servers[i].id)) continue;
    text type = given(host.servers[i].server_type);
    return asks(server_id, &type, method, args, ret, err);
  }
  return fails(err, 404, "no such server: st_server adds one");
}

bool shaddock_plugin_rpc_notify(text *server_type, shaddock_plugin_rpc_route_key_t *key, text *method,
                                bytes *args, failure *err) {
  (void)key;
  bytes ignored;
  /* Nobody waits for the outcome, so that a failure is none of the caller's. */
  asks(server_type, server_type, method, args, &ignored, err);
  return true;
}

/* --- timers --- */

static bool set_timer(uint64_t ms, bool again, const text *name, const bytes *payload, uint64_t *ret) {
  *ret = ++host.last_timer;
  host.timers = more(host.timers, st_timer_count, sizeof *host.timers);
  host.timers[st_timer_count++] = (st_timer){*ret, ms, again, string_of(*name), string_of_bytes(payload)};
  st_timers = host.timers;
  return true;
}

bool shaddock_plugin_timers_after(uint64_t delay_ms, text *name, bytes *payload, uint64_t *ret,
                                  failure *err) {
  (void)err;
  return set_timer(delay_ms, false, name, payload, ret);
}

bool shaddock_plugin_timers_every(uint64_t period_ms, text *name, bytes *payload, uint64_t *ret,
                                  failure *err) {
  (void)err;
  return set_timer(period_ms, true, name, payload, ret);
}

bool shaddock_plugin_timers_cancel(uint64_t id) {
  size_t at = 0;
  while (at < st_timer_count && host.timers[at].id != id) at++;
  if (at == st_timer_count) return false;
  for (st_timer_count--; at < st_timer_count; at++) host.timers[at] = host.timers[at + 1];
  return true;
}

/* --- what the bindings free --- */

static void free_bytes(void *ptr, size_t len) {
  if (len) free(ptr);
}

void sdk_plugin_string_free(text *ptr) {
  free_bytes(ptr->ptr, ptr->len);
}

void sdk_plugin_list_u8_free(bytes *ptr) {
  free_bytes(ptr->ptr, ptr->len);
}

void sdk_plugin_option_string_free(sdk_plugin_option_string_t *ptr) {
  if (ptr->is_some) sdk_plugin_string_free(&ptr->val);
}

void shaddock_plugin_types_member_free(raw_member *ptr) {
  sdk_plugin_string_free(&ptr->uid);
  sdk_plugin_string_free(&ptr->frontend_id);
}

void shaddock_plugin_types_server_info_free(raw_server *ptr) {
  sdk_plugin_string_free(&ptr->id);
  sdk_plugin_string_free(&ptr->server_type);
  sdk_plugin_string_free(&ptr->host);
  sdk_plugin_option_string_free(&ptr->client_host);
  sdk_plugin_string_free(&ptr->fields);
}

void shaddock_plugin_types_failure_free(failure *ptr) {
  sdk_plugin_string_free(&ptr->message);
}

void shaddock_plugin_types_session_free(raw_session *ptr) {
  sdk_plugin_string_free(&ptr->id.frontend_id);
  sdk_plugin_option_string_free(&ptr->uid);
  for (size_t i = 0; i < ptr->settings.len; i++) {
    sdk_plugin_string_free(&ptr->settings.ptr[i].key);
    sdk_plugin_string_free(&ptr->settings.ptr[i].value);
  }
  free_bytes(ptr->settings.ptr, ptr->settings.len);
}

void exports_shaddock_plugin_router_list_server_info_free(exports_shaddock_plugin_router_list_server_info_t *ptr) {
  for (size_t i = 0; i < ptr->len; i++) shaddock_plugin_types_server_info_free(&ptr->ptr[i]);
  free_bytes(ptr->ptr, ptr->len);
}

void shaddock_plugin_app_list_server_info_free(shaddock_plugin_app_list_server_info_t *ptr) {
  for (size_t i = 0; i < ptr->len; i++) shaddock_plugin_types_server_info_free(&ptr->ptr[i]);
  free_bytes(ptr->ptr, ptr->len);
}

void shaddock_plugin_channels_list_member_free(shaddock_plugin_channels_list_member_t *ptr) {
  for (size_t i = 0; i < ptr->len; i++) shaddock_plugin_types_member_free(&ptr->ptr[i]);
  free_bytes(ptr->ptr, ptr->len);
}

void exports_shaddock_plugin_router_route_key_free(exports_shaddock_plugin_router_route_key_t *ptr) {
  if (ptr->tag == EXPORTS_SHADDOCK_PLUGIN_ROUTER_ROUTE_KEY_SESSION) {
    shaddock_plugin_types_session_free(&ptr->val.session);
  } else {
    sdk_plugin_string_free(&ptr->val.value);
  }
}
