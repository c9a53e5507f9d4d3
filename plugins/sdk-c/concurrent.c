/* The roles of plugins with many calls in flight: a part of shaddock.c. */

/* --- questions --- */

struct sd_pending {
  sdk_plugin_subtask_t subtask;
  bool is_over;
  /** Of a bind, the user. */
  sd_session *session;
  sd_text uid;
  /** Where the host writes the outcome; all of them begin alike. */
  union {
    bool is_err;
    shaddock_plugin_async_rpc_result_list_u8_failure_t bytes;
    shaddock_plugin_async_sessions_result_void_failure_t nothing;
    shaddock_plugin_async_sessions_result_session_failure_t session;
  } outcome;
};

/** The questions of a call, the last one first. */
typedef struct asked {
  sd_pending pending;
  struct asked *before;
} asked;

/** A call of the plugin, with what belongs to it alone. */
typedef struct call {
  sd_task task;
  sd_text name;
  const void *entry;
  const sd_json *message;
  sd_session session;
  bool has_session;
  sd_text answer;
  bool is_given;
  sdk_plugin_waitable_set_t waiting;
  /** Questions that are not answered yet. */
  uint32_t open;
  asked *asked;
  /** Goes on with it; false if it has failed. */
  bool (*step)(struct call *this);
  /** Hands the outcome to the host. */
  void (*give)(bool ok, sd_text answer, sd_failure failure);
  arena memory;
  sd_failure failed;
} call;

/** The call that runs. */
static call *running;

void *sd_state(sd_task *task, size_t size) {
  if (!task->state) task->state = memset(sd_alloc(size), 0, size);
  return task->state;
}

static sd_pending *pending(void) {
  asked *one = memset(sd_alloc(sizeof *one), 0, sizeof *one);
  one->before = running->asked;
  running->asked = one;
  return &one->pending;
}

/** Notes what the host said of a question: it is over, or the call waits for it. */
static sd_pending *begun(sd_pending *question, sdk_plugin_subtask_status_t status) {
  question->is_over = SDK_PLUGIN_SUBTASK_STATE(status) == SDK_PLUGIN_SUBTASK_RETURNED;
  if (question->is_over) return question;
  question->subtask = SDK_PLUGIN_SUBTASK_HANDLE(status);
  if (!running->waiting) running->waiting = sdk_plugin_waitable_set_new();
  sdk_plugin_waitable_join(question->subtask, running->waiting);
  running->open++;
  return question;
}

/** A copy until the end of the call, since the host may read it later. */
static sd_text kept(sd_text text) {
  sd_text copy = {sd_alloc(text.len), text.len};
  if (text.len) memcpy(copy.ptr, text.ptr, text.len);
  return copy;
}

sd_pending *sd_begin_call(const char *server_type, sd_text key, const char *method, sd_text json) {
  sd_pending *question = pending();
  shaddock_plugin_async_rpc_call_args_t *args = sd_alloc(sizeof *args);
  *args = (shaddock_plugin_async_rpc_call_args_t){
    .server_type = kept(sd_str(server_type)),
    .key = {.tag = SHADDOCK_PLUGIN_ASYNC_RPC_ROUTE_KEY_VALUE, .val.value = kept(key)},
    .method = kept(sd_str(method)),
    .args = bytes_of(kept(json)),
  };
  return begun(question, shaddock_plugin_async_rpc_call(args, &question->outcome.bytes));
}

sd_pending *sd_begin_push_settings(sd_session *session) {
  sd_pending *question = pending();
  shaddock_plugin_async_sessions_push_args_t *args = sd_alloc(sizeof *args);
  *args = (shaddock_plugin_async_sessions_push_args_t){.id = session->id};
  return begun(question, shaddock_plugin_async_sessions_push(args, &question->outcome.nothing));
}

sd_pending *sd_begin_bind(sd_session *session, sd_text uid) {
  sd_pending *question = pending();
  question->session = session;
  question->uid = kept(uid);
  shaddock_plugin_async_sessions_bind_args_t *args = sd_alloc(sizeof *args);
  *args = (shaddock_plugin_async_sessions_bind_args_t){.id = session->id, .uid = question->uid};
  return begun(question, shaddock_plugin_async_sessions_bind(args, &question->outcome.nothing));
}

sd_pending *sd_begin_get(const sd_session *session) {
  sd_pending *question = pending();
  return begun(question, shaddock_plugin_async_sessions_get(session->id, &question->outcome.session));
}

/** Whether it succeeded; else its failure is that of the last function. */
static bool outcome(sd_pending *question, sd_failure *failure) {
  if (!question->is_over) return sd_fail(500, "the answer is not there yet: wait for it with SD_AWAIT");
  return sd_check(!question->outcome.is_err, failure);
}

bool sd_end_call(sd_pending *question, sd_text *answer) {
  if (!outcome(question, &question->outcome.bytes.val.err)) return false;
  *answer = take((sd_text){question->outcome.bytes.val.ok.ptr, question->outcome.bytes.val.ok.len});
  return true;
}

bool sd_end(sd_pending *question) {
  if (!outcome(question, &question->outcome.nothing.val.err)) return false;
  if (question->session) bound(question->session, question->uid);
  return true;
}

bool sd_end_get(sd_pending *question, sd_session *session) {
  if (!outcome(question, &question->outcome.session.val.err)) return false;
  *session = question->outcome.session.val.ok;
  return true;
}

/* --- calls --- */

static void enter(call *this) {
  running = this;
  memory = this->memory;
  failed = this->failed;
}

static void leave(call *this) {
  this->memory = memory;
  this->failed = failed;
  // What runs meanwhile is none of its.
  memset(&memory, 0, sizeof memory);
}

/** Tells the host how it ended. */
static void give(call *this, bool ok) {
  sd_failure failure = {0};
  if (!ok) give_failure(this->name, &failure);
  this->give(ok, this->answer, failure);
  sdk_plugin_string_free(&failure.message);
  this->is_given = true;
}

/** Goes on until the call waits for something, or is over. */
static sdk_plugin_callback_code_t go_on(call *this) {
  while (!this->is_given && !this->open) {
    this->task.waits = false;
    bool ok = this->message && this->step(this);
    if (!ok || !this->task.waits) give(this, ok);
    else if (this->open) break;
  }
  if (this->open) {
    // Also after its end: the host still writes the answers that nobody waits for.
    leave(this);
    return SDK_PLUGIN_CALLBACK_CODE_WAIT(this->waiting);
  }
  if (this->waiting) sdk_plugin_waitable_set_drop(this->waiting);
  sdk_plugin_string_free(&this->name);
  if (this->has_session) shaddock_plugin_types_session_free(&this->session);
  free(this);
  free_all();
  return SDK_PLUGIN_CALLBACK_CODE_EXIT;
}

/** An answer has come. */
static sdk_plugin_callback_code_t came(const sdk_plugin_event_t *event) {
  call *this = sdk_plugin_context_get_0();
  enter(this);
  for (asked *one = this->asked; one; one = one->before) {
    if (one->pending.is_over || one->pending.subtask != event->waitable) continue;
    if (event->code != SDK_PLUGIN_SUBTASK_RETURNED) break;
    one->pending.is_over = true;
    sdk_plugin_subtask_drop(one->pending.subtask);
    this->open--;
    break;
  }
  return go_on(this);
}

/** A call begins; what it is given is its own from now on. */
static call *fresh(sd_text *name, const void *table, size_t entry, sdk_plugin_list_u8_t *body) {
  call *this = allocate(sizeof *this);
  memset(this, 0, sizeof *this);
  enter(this);
  sdk_plugin_context_set_0(this);
  this->name = *name;
  this->entry = find(table, entry, *name);
  sd_text text = take((sd_text){body->ptr, body->len});
  sdk_plugin_list_u8_t kept_body = bytes_of(text);
  this->message = this->entry ? message_of(&kept_body) : NULL;
  return this;
}

static bool handle_step(call *this) {
  const sd_route *route = this->entry;
  if (route->step) return route->step(&this->task, this->message, &this->session, &this->answer);
  return route->function(this->message, &this->session, &this->answer);
}

static void handle_give(bool ok, sd_text answer, sd_failure failure) {
  exports_shaddock_plugin_async_handler_result_list_u8_failure_t result = {.is_err = !ok};
  if (ok) result.val.ok = bytes_of(answer);
  else result.val.err = failure;
  exports_shaddock_plugin_async_handler_handle_return(result);
}

void exports_shaddock_plugin_async_handler_routes(sdk_plugin_list_string_t *ret) {
  give_names(shaddock_plugin.routes, sizeof(sd_route), ret);
}

sdk_plugin_callback_code_t exports_shaddock_plugin_async_handler_handle(sd_text *route, sdk_plugin_list_u8_t *body,
                                                                        sd_session *session) {
  call *this = fresh(route, shaddock_plugin.routes, sizeof(sd_route), body);
  this->session = *session;
  this->has_session = true;
  this->step = handle_step;
  this->give = handle_give;
  return go_on(this);
}

sdk_plugin_callback_code_t exports_shaddock_plugin_async_handler_handle_callback(sdk_plugin_event_t *event) {
  return came(event);
}

static bool remote_step(call *this) {
  const sd_remote *remote = this->entry;
  return remote->step ? remote->step(&this->task, this->message, &this->answer)
                      : remote->function(this->message, &this->answer);
}

static void remote_give(bool ok, sd_text answer, sd_failure failure) {
  exports_shaddock_plugin_async_remote_result_list_u8_failure_t result = {.is_err = !ok};
  if (ok) result.val.ok = bytes_of(answer.len ? answer : sd_str("null"));
  else result.val.err = failure;
  exports_shaddock_plugin_async_remote_call_return(result);
}

void exports_shaddock_plugin_async_remote_methods(sdk_plugin_list_string_t *ret) {
  give_names(shaddock_plugin.remotes, sizeof(sd_remote), ret);
}

sdk_plugin_callback_code_t exports_shaddock_plugin_async_remote_call(sd_text *method, sdk_plugin_list_u8_t *args) {
  call *this = fresh(method, shaddock_plugin.remotes, sizeof(sd_remote), args);
  this->step = remote_step;
  this->give = remote_give;
  return go_on(this);
}

sdk_plugin_callback_code_t exports_shaddock_plugin_async_remote_call_callback(sdk_plugin_event_t *event) {
  return came(event);
}

static bool timer_step(call *this) {
  const sd_timer *timer = this->entry;
  return timer->step ? timer->step(&this->task, this->message) : timer->function(this->message);
}

static void timer_give(bool ok, sd_text answer, sd_failure failure) {
  (void)answer;
  exports_shaddock_plugin_async_timer_result_void_failure_t result = {.is_err = !ok};
  if (!ok) result.val.err = failure;
  exports_shaddock_plugin_async_timer_fired_return(result);
}

sdk_plugin_callback_code_t exports_shaddock_plugin_async_timer_fired(sd_text *name, uint64_t id,
                                                                     sdk_plugin_list_u8_t *payload) {
  (void)id;
  call *this = fresh(name, shaddock_plugin.timers, sizeof(sd_timer), payload);
  this->step = timer_step;
  this->give = timer_give;
  return go_on(this);
}

sdk_plugin_callback_code_t exports_shaddock_plugin_async_timer_fired_callback(sdk_plugin_event_t *event) {
  return came(event);
}
