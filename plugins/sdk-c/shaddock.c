#include "shaddock.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* --- memory --- */

/** Memory that the host or `free` takes; none for nothing. */
static void *allocate(size_t size) {
  void *memory = size ? malloc(size) : NULL;
  if (size && !memory) __builtin_trap();
  return memory;
}

/** Where `sd_alloc` takes memory from, until the end of the call. */
typedef struct block {
  struct block *before;
} block;

typedef struct {
  block *blocks;
  size_t room_left;
  char *room;
} arena;

static arena memory;

void *sd_alloc(size_t size) {
  size = (size + 15) & ~(size_t)15;
  if (size > memory.room_left) {
    size_t content = size > 4096 ? size : 4096;
    block *fresh = allocate(16 + content);
    fresh->before = memory.blocks;
    memory.blocks = fresh;
    memory.room = (char *)fresh + 16;
    memory.room_left = content;
  }
  void *taken = memory.room;
  memory.room += size;
  memory.room_left -= size;
  return taken;
}

static void free_all(void) {
  while (memory.blocks) {
    block *before = memory.blocks->before;
    free(memory.blocks);
    memory.blocks = before;
  }
  memory.room_left = 0;
}

/* --- texts --- */

sd_text sd_str(const char *c_string) {
  return (sd_text){(uint8_t *)c_string, strlen(c_string)};
}

bool sd_same(sd_text a, sd_text b) {
  return a.len == b.len && memcmp(a.ptr, b.ptr, a.len) == 0;
}

static bool is(sd_text text, const char *c_string) {
  return sd_same(text, sd_str(c_string));
}

size_t sd_chars(sd_text text) {
  size_t count = 0;
  for (size_t i = 0; i < text.len; i++) count += (text.ptr[i] & 0xc0) != 0x80;
  return count;
}

sd_text sd_copy(sd_text text) {
  sd_text copy = {allocate(text.len), text.len};
  if (text.len) memcpy(copy.ptr, text.ptr, text.len);
  return copy;
}

/** A copy until the end of the call, of a text that is freed. */
static sd_text take(sd_text text) {
  sd_text copy = {sd_alloc(text.len), text.len};
  memcpy(copy.ptr, text.ptr, text.len);
  sdk_plugin_string_free(&text);
  return copy;
}

typedef struct {
  uint8_t *ptr;
  size_t len, size;
} buffer;

static void put(buffer *out, const void *bytes, size_t len) {
  if (out->len + len > out->size) {
    size_t size = 2 * (out->len + len) + 64;
    uint8_t *larger = sd_alloc(size);
    memcpy(larger, out->ptr, out->len);
    out->ptr = larger;
    out->size = size;
  }
  memcpy(out->ptr + out->len, bytes, len);
  out->len += len;
}

static void put_string(buffer *out, sd_text text) {
  static const char names[] = "btn.fr", hex[] = "0123456789abcdef";
  put(out, "\"", 1);
  for (size_t i = 0; i < text.len; i++) {
    uint8_t c = text.ptr[i];
    if (c == '"' || c == '\\') {
      put(out, (char[]){'\\', (char)c}, 2);
    } else if (c >= 0x20) {
      put(out, &c, 1);
    } else if (c >= '\b' && c <= '\r' && c != '\v') {
      put(out, (char[]){'\\', names[c - '\b']}, 2);
    } else {
      put(out, (char[]){'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]}, 6);
    }
  }
  put(out, "\"", 1);
}

static void put_number(buffer *out, uint64_t number) {
  char digits[20];
  size_t at = sizeof digits;
  do digits[--at] = (char)('0' + number % 10);
  while (number /= 10);
  put(out, digits + at, sizeof digits - at);
}

static sd_text format_list(const char *format, va_list values) {
  buffer out = {0};
  for (const char *c = format; *c; c++) {
    if (*c != '%') {
      put(&out, c, 1);
      continue;
    }
    sd_text text;
    switch (*++c) {
      case 't': put_string(&out, va_arg(values, sd_text)); break;
      case 'T': text = va_arg(values, sd_text); put(&out, text.ptr, text.len); break;
      case 's': text = sd_str(va_arg(values, const char *)); put(&out, text.ptr, text.len); break;
      case 'u': put_number(&out, va_arg(values, uint32_t)); break;
      case 'U': put_number(&out, va_arg(values, uint64_t)); break;
      case '%': put(&out, c, 1); break;
      default: __builtin_trap();
    }
  }
  return (sd_text){out.ptr, out.len};
}

sd_text sd_format(const char *format, ...) {
  va_list values;
  va_start(values, format);
  sd_text text = format_list(format, values);
  va_end(values);
  return text;
}

/* --- JSON --- */

/** Deepest nesting that is read. */
enum { DEPTH_MAX = 64 };

typedef struct {
  const uint8_t *at, *end;
} reader;

static void skip_space(reader *in) {
  while (in->at < in->end && (*in->at == ' ' || *in->at == '\t' || *in->at == '\n' || *in->at == '\r')) in->at++;
}

static bool skip(reader *in, char c) {
  if (in->at == in->end || *in->at != c) return false;
  in->at++;
  return true;
}

static bool skip_word(reader *in, const char *word) {
  size_t len = strlen(word);
  if ((size_t)(in->end - in->at) < len || memcmp(in->at, word, len)) return false;
  in->at += len;
  return true;
}

static bool read_unit(reader *in, uint32_t *unit) {
  *unit = 0;
  for (int i = 0; i < 4; i++, in->at++) {
    if (in->at == in->end) return false;
    uint8_t c = *in->at, lower = c | 0x20;
    if (c >= '0' && c <= '9') *unit = *unit << 4 | (c - '0');
    else if (lower >= 'a' && lower <= 'f') *unit = *unit << 4 | (lower - 'a' + 10);
    else return false;
  }
  return true;
}

/** After `\u`: a character, by one unit or by two. */
static bool read_escaped(reader *in, uint8_t **out) {
  uint32_t c, low;
  if (!read_unit(in, &c)) return false;
  if (c >= 0xd800 && c < 0xe000) {
    if (c >= 0xdc00 || !skip_word(in, "\\u") || !read_unit(in, &low) || low < 0xdc00 || low >= 0xe000) return false;
    c = 0x10000 + ((c - 0xd800) << 10 | (low - 0xdc00));
  }
  int more = c < 0x80 ? 0 : c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
  static const uint8_t heads[] = {0, 0xc0, 0xe0, 0xf0};
  *(*out)++ = (uint8_t)(heads[more] | c >> 6 * more);
  while (more--) *(*out)++ = (uint8_t)(0x80 | (c >> 6 * more & 0x3f));
  return true;
}

/** After the opening quote. */
static bool read_string(reader *in, sd_text *text) {
  const uint8_t *close = in->at;
  while (close < in->end && *close != '"') close += *close == '\\' ? 2 : 1;
  if (close >= in->end) return false;
  uint8_t *out = text->ptr = sd_alloc((size_t)(close - in->at));
  while (in->at < close) {
    uint8_t c = *in->at++;
    if (c < 0x20) return false;
    if (c != '\\') {
      *out++ = c;
      continue;
    }
    switch (c = *in->at++) {
      case '"': case '\\': case '/': *out++ = c; break;
      case 'b': *out++ = '\b'; break;
      case 'f': *out++ = '\f'; break;
      case 'n': *out++ = '\n'; break;
      case 'r': *out++ = '\r'; break;
      case 't': *out++ = '\t'; break;
      case 'u': if (!read_escaped(in, &out)) return false; break;
      default: return false;
    }
  }
  text->len = (size_t)(out - text->ptr);
  return skip(in, '"');
}

static bool skip_digits(reader *in) {
  const uint8_t *from = in->at;
  while (in->at < in->end && *in->at >= '0' && *in->at <= '9') in->at++;
  return in->at > from;
}

static bool read_number(reader *in, sd_json *value) {
  const uint8_t *from = in->at;
  skip(in, '-');
  if (!skip(in, '0') && !skip_digits(in)) return false;
  if (skip(in, '.') && !skip_digits(in)) return false;
  if (skip(in, 'e') || skip(in, 'E')) {
    if (!skip(in, '+')) skip(in, '-');
    if (!skip_digits(in)) return false;
  }
  size_t len = (size_t)(in->at - from);
  char *text = sd_alloc(len + 1);
  memcpy(text, from, len);
  text[len] = 0;
  value->text = (sd_text){(uint8_t *)text, len};
  value->number = strtod(text, NULL);
  return true;
}

static bool read_value(reader *in, sd_json *value, int depth);

/** After the opening bracket. */
static bool read_items(reader *in, sd_json *list, int depth) {
  char close = list->kind == SD_OBJECT ? '}' : ']';
  sd_json **next = &list->first;
  skip_space(in);
  if (skip(in, close)) return true;
  do {
    sd_json *item = *next = sd_alloc(sizeof *item);
    memset(item, 0, sizeof *item);
    next = &item->next;
    skip_space(in);
    if (list->kind == SD_OBJECT) {
      if (!skip(in, '"') || !read_string(in, &item->key)) return false;
      skip_space(in);
      if (!skip(in, ':')) return false;
    }
    if (!read_value(in, item, depth + 1)) return false;
    skip_space(in);
  } while (skip(in, ','));
  return skip(in, close);
}

static bool read_value(reader *in, sd_json *value, int depth) {
  if (depth > DEPTH_MAX) return false;
  skip_space(in);
  if (skip_word(in, "null")) return true;
  value->kind = SD_BOOL;
  if ((value->truth = skip_word(in, "true")) || skip_word(in, "false")) return true;
  value->kind = SD_TEXT;
  if (skip(in, '"')) return read_string(in, &value->text);
  value->kind = SD_ARRAY;
  if (skip(in, '[')) return read_items(in, value, depth);
  value->kind = SD_OBJECT;
  if (skip(in, '{')) return read_items(in, value, depth);
  value->kind = SD_NUMBER;
  return read_number(in, value);
}

const sd_json *sd_parse(sd_text text) {
  reader in = {text.ptr, text.ptr + text.len};
  sd_json *value = sd_alloc(sizeof *value);
  memset(value, 0, sizeof *value);
  if (!read_value(&in, value, 0)) return NULL;
  skip_space(&in);
  return in.at == in.end ? value : NULL;
}

static void put_value(buffer *out, const sd_json *value) {
  switch (value->kind) {
    case SD_NULL: put(out, "null", 4); return;
    case SD_BOOL: put(out, value->truth ? "true" : "false", value->truth ? 4 : 5); return;
    case SD_NUMBER: put(out, value->text.ptr, value->text.len); return;
    case SD_TEXT: put_string(out, value->text); return;
    case SD_ARRAY: put(out, "[", 1); break;
    case SD_OBJECT: put(out, "{", 1); break;
  }
  for (const sd_json *item = value->first; item; item = item->next) {
    if (item != value->first) put(out, ",", 1);
    if (value->kind == SD_OBJECT) {
      put_string(out, item->key);
      put(out, ":", 1);
    }
    put_value(out, item);
  }
  put(out, value->kind == SD_OBJECT ? "}" : "]", 1);
}

sd_text sd_write(const sd_json *value) {
  buffer out = {0};
  put_value(&out, value);
  return (sd_text){out.ptr, out.len};
}

const sd_json *sd_field(const sd_json *object, const char *name) {
  const sd_json *found = NULL;
  if (!object || object->kind != SD_OBJECT) return NULL;
  for (const sd_json *field = object->first; field; field = field->next) {
    if (is(field->key, name)) found = field;
  }
  return found;
}

bool sd_text_field(const sd_json *object, const char *name, sd_text *text) {
  const sd_json *field = sd_field(object, name);
  if (!field || field->kind != SD_TEXT) return sd_fail(400, "%s is no text", name);
  *text = field->text;
  return true;
}

bool sd_number_field(const sd_json *object, const char *name, double *number) {
  const sd_json *field = sd_field(object, name);
  if (!field || field->kind != SD_NUMBER) return sd_fail(400, "%s is no number", name);
  *number = field->number;
  return true;
}

bool sd_u64_field(const sd_json *object, const char *name, uint64_t *number) {
  const sd_json *field = sd_field(object, name);
  if (!field || field->kind != SD_NUMBER) return sd_fail(400, "%s is no number", name);
  *number = 0;
  for (size_t i = 0; i < field->text.len; i++) {
    uint8_t digit = field->text.ptr[i] - '0';
    if (digit > 9 || __builtin_mul_overflow(*number, 10, number) || __builtin_add_overflow(*number, digit, number)) {
      return sd_fail(400, "%s is no whole number of 64 bits", name);
    }
  }
  return true;
}

/* --- failures and the log --- */

static sd_failure failed;

bool sd_fail(uint32_t code, const char *format, ...) {
  va_list values;
  va_start(values, format);
  failed.message = format_list(format, values);
  va_end(values);
  failed.code = code;
  failed.retryable = false;
  return false;
}

bool sd_check(bool ok, sd_failure *failure) {
  if (ok) return true;
  failed.code = failure->code;
  failed.message = take(failure->message);
  failed.retryable = failure->retryable;
  return false;
}

sd_text sd_failed(uint32_t *code) {
  *code = failed.code;
  return failed.message;
}

/** How many bytes a character has in UTF-8, by its first; 0 if none begins with it. */
static size_t char_len(uint8_t head) {
  return head < 0x80 ? 1 : head < 0xc2 ? 0 : head < 0xe0 ? 2 : head < 0xf0 ? 3 : head < 0xf5 ? 4 : 0;
}

static bool is_char(const uint8_t *at, size_t len, size_t left) {
  if (!len || len > left) return false;
  for (size_t i = 1; i < len; i++) {
    if ((at[i] & 0xc0) != 0x80) return false;
  }
  uint8_t head = at[0], next = len > 1 ? at[1] : 0;
  return !(head == 0xe0 && next < 0xa0) && !(head == 0xed && next > 0x9f) && !(head == 0xf0 && next < 0x90) &&
         !(head == 0xf4 && next > 0x8f);
}

/** The host takes no text that is not UTF-8. */
static void make_text(sd_text line) {
  for (size_t at = 0; at < line.len;) {
    size_t len = char_len(line.ptr[at]);
    if (!is_char(line.ptr + at, len, line.len - at)) {
      line.ptr[at] = '?';
      len = 1;
    }
    at += len;
  }
}

void sd_log(shaddock_plugin_app_level_t level, const char *format, ...) {
  va_list values;
  va_start(values, format);
  sd_text line = format_list(format, values);
  va_end(values);
  make_text(line);
  shaddock_plugin_app_log(level, &line);
}

/* --- the server --- */

/** What `init` or `start` was told. */
static sd_text settings;

const sd_json *sd_settings(void) {
  return sd_parse(settings);
}

sd_text sd_own_id(void) {
  sd_server server;
  shaddock_plugin_app_own_server(&server);
  sd_text id = {sd_alloc(server.id.len), server.id.len};
  memcpy(id.ptr, server.id.ptr, id.len);
  shaddock_plugin_types_server_info_free(&server);
  return id;
}

uint32_t sd_random(void) {
  sdk_plugin_list_u8_t bytes;
  uint32_t number;
  shaddock_plugin_app_random_bytes(sizeof number, &bytes);
  memcpy(&number, bytes.ptr, sizeof number);
  sdk_plugin_list_u8_free(&bytes);
  return number;
}

/* --- sessions --- */

const sd_json *sd_setting(const sd_session *session, const char *key) {
  for (size_t i = 0; i < session->settings.len; i++) {
    if (!is(session->settings.ptr[i].key, key)) continue;
    const sd_json *value = sd_parse(session->settings.ptr[i].value);
    return value && value->kind != SD_NULL ? value : NULL;
  }
  return NULL;
}

#ifdef SHADDOCK_CONCURRENT
#define sessions_set shaddock_plugin_async_sessions_set
#else
#define sessions_set shaddock_plugin_sessions_set
#endif

bool sd_set(sd_session *session, const char *key, sd_text json) {
  sd_failure failure;
  sd_text name = sd_str(key);
  if (!sd_check(sessions_set(&session->id, &name, &json, &failure), &failure)) return false;
  for (size_t i = 0; i < session->settings.len; i++) {
    shaddock_plugin_types_setting_t *setting = &session->settings.ptr[i];
    if (!is(setting->key, key)) continue;
    sdk_plugin_string_free(&setting->value);
    setting->value = sd_copy(json);
    return true;
  }
  size_t len = session->settings.len;
  void *more = realloc(len ? session->settings.ptr : NULL, (len + 1) * sizeof *session->settings.ptr);
  if (!more) __builtin_trap();
  session->settings.ptr = more;
  session->settings.ptr[len] = (shaddock_plugin_types_setting_t){sd_copy(name), sd_copy(json)};
  session->settings.len = len + 1;
  return true;
}

/** The session has this user now. */
static void bound(sd_session *session, sd_text uid) {
  sdk_plugin_option_string_free(&session->uid);
  session->uid.is_some = true;
  session->uid.val = sd_copy(uid);
}

#ifndef SHADDOCK_CONCURRENT

bool sd_push_settings(sd_session *session) {
  sd_failure failure;
  sdk_plugin_list_string_t all = {0};
  return sd_check(shaddock_plugin_sessions_push(&session->id, &all, &failure), &failure);
}

bool sd_bind(sd_session *session, sd_text uid) {
  sd_failure failure;
  if (!sd_check(shaddock_plugin_sessions_bind(&session->id, &uid, &failure), &failure)) return false;
  bound(session, uid);
  return true;
}

#endif

bool sd_member_of(const sd_session *session, sd_member *member) {
  if (!session->uid.is_some) return sd_fail(401, "no user is bound to the session");
  *member = (sd_member){session->uid.val, session->id.frontend_id};
  return true;
}

/* --- channels, calls, timers --- */

bool sd_join(sd_text channel, sd_member member, bool *is_new) {
  sd_failure failure;
  return sd_check(shaddock_plugin_channels_join(&channel, &member, is_new, &failure), &failure);
}

bool sd_leave(sd_text channel, sd_member member) {
  return shaddock_plugin_channels_leave(&channel, &member);
}

bool sd_members(sd_text channel, sd_member **members, size_t *count) {
  sd_failure failure;
  shaddock_plugin_channels_list_member_t list;
  *count = 0;
  if (!shaddock_plugin_channels_members(&channel, &list, &failure)) {
    return sd_check(false, &failure) || failed.code == 404;
  }
  *members = sd_alloc(list.len * sizeof **members);
  for (size_t i = 0; i < list.len; i++) {
    (*members)[i] = (sd_member){take(list.ptr[i].uid), take(list.ptr[i].frontend_id)};
  }
  *count = list.len;
  if (list.len) free(list.ptr);
  return true;
}

bool sd_is_member(sd_text channel, sd_text uid) {
  sd_member member;
  if (!shaddock_plugin_channels_find(&channel, &uid, &member)) return false;
  shaddock_plugin_types_member_free(&member);
  return true;
}

static sdk_plugin_list_u8_t bytes_of(sd_text text) {
  return (sdk_plugin_list_u8_t){text.ptr, text.len};
}

bool sd_push(sd_text channel, const char *route, sd_text json) {
  sd_failure failure;
  sd_text name = sd_str(route);
  sdk_plugin_list_u8_t body = bytes_of(json);
  return sd_check(shaddock_plugin_channels_push(&channel, &name, &body, &failure), &failure);
}

#ifndef SHADDOCK_CONCURRENT

bool sd_call(const char *server_type, sd_text key, const char *method, sd_text json, sd_text *answer) {
  sd_failure failure;
  sd_text type = sd_str(server_type), name = sd_str(method);
  shaddock_plugin_rpc_route_key_t by = {.tag = SHADDOCK_PLUGIN_RPC_ROUTE_KEY_VALUE, .val.value = key};
  sdk_plugin_list_u8_t args = bytes_of(json), result;
  if (!sd_check(shaddock_plugin_rpc_call(&type, &by, &name, &args, &result, &failure), &failure)) return false;
  *answer = take((sd_text){result.ptr, result.len});
  return true;
}

#endif

bool sd_after(uint64_t delay_ms, const char *name, sd_text json, uint64_t *timer) {
  sd_failure failure;
  sd_text called = sd_str(name);
  sdk_plugin_list_u8_t payload = bytes_of(json);
  return sd_check(shaddock_plugin_timers_after(delay_ms, &called, &payload, timer, &failure), &failure);
}

bool sd_cancel(uint64_t timer) {
  return shaddock_plugin_timers_cancel(timer);
}

/* --- routing --- */

sd_text sd_key_text(const sd_route_key *key, const char *setting) {
  if (!key->session) return key->value;
  const sd_json *value = sd_setting(key->session, setting);
  return value && value->kind == SD_TEXT ? value->text : sd_str("");
}

static uint32_t crc32_with(uint32_t crc, uint32_t unit) {
  crc ^= unit & 0xff;
  for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
  return crc;
}

/** CRC-32 over the low byte of each UTF-16 unit, as a signed number. */
static int32_t crc32(sd_text text) {
  uint32_t crc = ~0u;
  for (size_t i = 0; i < text.len;) {
    uint8_t head = text.ptr[i++];
    uint32_t c = head < 0x80 ? head : head < 0xe0 ? head & 0x1f : head < 0xf0 ? head & 0x0f : head & 0x07;
    while (i < text.len && (text.ptr[i] & 0xc0) == 0x80) c = c << 6 | (text.ptr[i++] & 0x3f);
    if (c >= 0x10000) crc = crc32_with(crc, (c - 0x10000) >> 10);
    crc = crc32_with(crc, c);
  }
  return (int32_t)~crc;
}

bool sd_pick(sd_text text, size_t count, uint32_t *index) {
  if (!count) {
    sd_fail(503, "no server of the type is up");
    failed.retryable = true;
    return false;
  }
  int64_t hash = crc32(text);
  *index = (uint32_t)((hash < 0 ? -hash : hash) % (int64_t)count);
  return true;
}

/* --- what the host calls --- */

/** The outcome of a call that fails; `what` says which. */
static bool give_failure(sd_text what, sd_failure *failure) {
  failure->code = failed.code;
  sd_text message = sd_format("%T: %T", what, failed.message);
  make_text(message);
  failure->message = sd_copy(message);
  failure->retryable = failed.retryable;
  return false;
}

static const sd_json *message_of(sdk_plugin_list_u8_t *body) {
  const sd_json *message = sd_parse((sd_text){body->ptr, body->len});
  if (!message) sd_fail(400, "the body is no JSON");
  return message;
}

/** The names in a table whose entries begin with them. */
static void give_names(const void *table, size_t entry, sdk_plugin_list_string_t *names) {
  const char *at = table;
  size_t count = 0;
  while (at && *(const char *const *)(at + count * entry)) count++;
  names->len = count;
  names->ptr = allocate(count * sizeof *names->ptr);
  for (size_t i = 0; i < count; i++) names->ptr[i] = sd_copy(sd_str(*(const char *const *)(at + i * entry)));
}

/** The entry of a name; the host calls only what the table names. */
static const void *find(const void *table, size_t entry, sd_text name) {
  for (const char *at = table; at && *(const char *const *)at; at += entry) {
    if (is(name, *(const char *const *)at)) return at;
  }
  sd_fail(404, "the plugin has no such function");
  return NULL;
}

static bool begin(const char *moment, bool (*function)(void), sd_text *told, sd_failure *err) {
  sdk_plugin_string_free(&settings);
  settings = *told;
  bool ok = !function || function() || give_failure(sd_str(moment), err);
  free_all();
  return ok;
}

bool exports_shaddock_plugin_lifecycle_init(sd_text *told, sd_failure *err) {
  return begin("init", shaddock_plugin.init, told, err);
}

bool exports_shaddock_plugin_lifecycle_start(sd_text *told, sd_failure *err) {
  return begin("start", shaddock_plugin.start, told, err);
}

void exports_shaddock_plugin_lifecycle_session_closed(sd_session *session, sd_text *reason) {
  if (shaddock_plugin.session_closed && !shaddock_plugin.session_closed(session, *reason)) {
    sd_log(SHADDOCK_PLUGIN_APP_LEVEL_WARN, "session closed: %T", failed.message);
  }
  shaddock_plugin_types_session_free(session);
  sdk_plugin_string_free(reason);
  free_all();
}

void exports_shaddock_plugin_lifecycle_stop(void) {
  if (shaddock_plugin.stop && !shaddock_plugin.stop()) {
    sd_log(SHADDOCK_PLUGIN_APP_LEVEL_WARN, "stop: %T", failed.message);
  }
  free_all();
}

#ifdef SHADDOCK_CONCURRENT
#include "concurrent.c"
#else
#include "plain.c"
#endif
