#include "shaddock_test.h"

#include "../handlers.c"

#define GREET "connector.helloHandler.greet"

static void a_client_is_greeted_and_its_visits_are_counted(void) {
  st_settings("{\"greeting\":\"Hello\"}");
  uint64_t ada = st_connect(NULL);
  st_is(st_request(ada, GREET, "{\"name\":\"Ada\"}"), "{\"text\":\"Hello, Ada!\",\"visits\":1}");
  st_is(st_request(ada, GREET, "{\"name\":\"Ada\"}"), "{\"text\":\"Hello, Ada!\",\"visits\":2}");
  st_is(st_last_push().route, "onGreet");
  st_is(st_last_push().json, "{\"visits\":2}");
  st_is(st_log[0].text, "Ada came 1 times");
}

static void a_client_without_a_name_is_refused(void) {
  st_is(st_request(st_connect(NULL), GREET, "{\"name\":\"\"}"), "{\"code\":400}");
}

int main(void) {
  st_test("a client is greeted, and its visits are counted", a_client_is_greeted_and_its_visits_are_counted);
  st_test("a client without a name is refused", a_client_without_a_name_is_refused);
  return st_end();
}
