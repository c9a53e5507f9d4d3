/* The roles of plugins whose calls come one after the other: a part of shaddock.c. */

void exports_shaddock_plugin_handler_routes(sdk_plugin_list_string_t *ret) {
  give_names(shaddock_plugin.routes, sizeof(sd_route), ret);
}

bool exports_shaddock_plugin_handler_handle(sd_text *route, sdk_plugin_list_u8_t *body, sd_session *session,
                                            sdk_plugin_list_u8_t *ret, sd_failure *err) {
  sd_text answer = {0};
  const sd_route *entry = find(shaddock_plugin.routes, sizeof(sd_route), *route);
  const sd_json *message = entry ? message_of(body) : NULL;
  bool ok = message && entry->function(message, session, &answer);
  if (ok) answer = sd_copy(answer);
  else give_failure(*route, err);
  *ret = bytes_of(answer);
  sdk_plugin_string_free(route);
  sdk_plugin_list_u8_free(body);
  shaddock_plugin_types_session_free(session);
  free_all();
  return ok;
}

void exports_shaddock_plugin_remote_methods(sdk_plugin_list_string_t *ret) {
  give_names(shaddock_plugin.remotes, sizeof(sd_remote), ret);
}

bool exports_shaddock_plugin_remote_call(sd_text *method, sdk_plugin_list_u8_t *args, sdk_plugin_list_u8_t *ret,
                                         sd_failure *err) {
  sd_text answer = sd_str("null");
  const sd_remote *entry = find(shaddock_plugin.remotes, sizeof(sd_remote), *method);
  const sd_json *message = entry ? message_of(args) : NULL;
  bool ok = message && entry->function(message, &answer);
  if (ok) *ret = bytes_of(sd_copy(answer));
  else give_failure(*method, err);
  sdk_plugin_string_free(method);
  sdk_plugin_list_u8_free(args);
  free_all();
  return ok;
}

void exports_shaddock_plugin_router_server_types(sdk_plugin_list_string_t *ret) {
  give_names(shaddock_plugin.routers, sizeof(sd_router), ret);
}

/** The servers of a type, as the host told them last. */
typedef struct known {
  struct known *next;
  sd_text server_type;
  exports_shaddock_plugin_router_list_server_info_t servers;
} known;

static known *all_known;

static known *known_of(sd_text server_type) {
  known *at = all_known;
  while (at && !sd_same(at->server_type, server_type)) at = at->next;
  return at;
}

void exports_shaddock_plugin_router_set_servers(sd_text *server_type,
                                                exports_shaddock_plugin_router_list_server_info_t *servers) {
  known *at = known_of(*server_type);
  if (at) {
    exports_shaddock_plugin_router_list_server_info_free(&at->servers);
    sdk_plugin_string_free(server_type);
  } else {
    at = allocate(sizeof *at);
    at->next = all_known;
    at->server_type = *server_type;
    all_known = at;
  }
  at->servers = *servers;
}

bool exports_shaddock_plugin_router_route(sd_text *server_type, exports_shaddock_plugin_router_route_key_t *key,
                                          sd_text *method, exports_shaddock_plugin_router_target_t *ret,
                                          sd_failure *err) {
  bool by_session = key->tag == EXPORTS_SHADDOCK_PLUGIN_ROUTER_ROUTE_KEY_SESSION;
  sd_route_key by = {by_session ? &key->val.session : NULL, by_session ? (sd_text){0} : key->val.value};
  const sd_router *entry = find(shaddock_plugin.routers, sizeof(sd_router), *server_type);
  known *told = known_of(*server_type);
  ret->tag = EXPORTS_SHADDOCK_PLUGIN_ROUTER_TARGET_INDEX;
  bool ok = entry && entry->function(&by, told ? told->servers.ptr : NULL, told ? told->servers.len : 0, &ret->val.index);
  if (!ok) give_failure(*server_type, err);
  sdk_plugin_string_free(server_type);
  exports_shaddock_plugin_router_route_key_free(key);
  sdk_plugin_string_free(method);
  free_all();
  return ok;
}

bool exports_shaddock_plugin_timer_fired(sd_text *name, uint64_t id, sdk_plugin_list_u8_t *payload, sd_failure *err) {
  (void)id;
  const sd_timer *entry = find(shaddock_plugin.timers, sizeof(sd_timer), *name);
  const sd_json *message = entry ? message_of(payload) : NULL;
  bool ok = (message && entry->function(message)) || give_failure(*name, err);
  sdk_plugin_string_free(name);
  sdk_plugin_list_u8_free(payload);
  free_all();
  return ok;
}
