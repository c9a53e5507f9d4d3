//! A host for unit tests, which run on this machine: `shaddock test` does, without a server.
//!
//!     test "whoever enters is bound" {
//!         const host = shaddock.testing;
//!         host.begin(.{ .roundMs = 1000 });
//!         const ann = host.connect(null);
//!         const answer = host.request(ann, "connector.roomHandler.enter", .{ .name = "ann", .room = "lobby" });
//!         try std.testing.expectEqualStrings("{\"name\":\"ann\",\"room\":\"lobby\"}", answer);
//!         try std.testing.expectEqualStrings("ann", host.uid(ann).?);
//!     }
//!
//! It behaves as a server with one frontend does: sessions keep their users and settings, channels their members, and what the
//! plugin sends, calls and sets is kept to be looked at. A call that has no answer prepared fails with 404. What
//! the plugin keeps in memory is for the test to clear. The host itself is in C: `shaddock_test.h` of the SDK for C.

const std = @import("std");

/// The frontend of all sessions.
pub const frontend = "connector-1";

extern fn st_begin() void;
extern fn st_settings(json: [*:0]const u8) void;
extern fn st_now(ms: u64) void;
extern fn st_random(first: u8) void;
extern fn st_server(id: [*:0]const u8, server_type: [*:0]const u8) void;
extern fn st_answer(method: [*:0]const u8, json: [*:0]const u8) void;
extern fn st_connect(uid: ?[*:0]const u8) u64;
extern fn st_request(session: u64, route: [*:0]const u8, json: [*:0]const u8) [*:0]const u8;
extern fn st_remote(method: [*:0]const u8, json: [*:0]const u8) [*:0]const u8;
extern fn st_route(server_type: [*:0]const u8, text: [*:0]const u8) [*:0]const u8;
extern fn st_why() [*:0]const u8;
extern fn st_disconnect(session: u64, reason: [*:0]const u8) void;
extern fn st_uid(session: u64) ?[*:0]const u8;
extern fn st_setting(session: u64, key: [*:0]const u8) ?[*:0]const u8;
extern fn st_fire(id: u64) bool;
extern const st_pushes: [*c]const Push;
extern const st_calls: [*c]const Call;
extern const st_timers: [*c]const Timer;
extern const st_push_count: usize;
extern const st_call_count: usize;
extern const st_timer_count: usize;

/// A message to clients, JSON; `to` has their users, with a comma between them, or is `*` for a broadcast.
pub const Push = extern struct { to: [*:0]const u8, route: [*:0]const u8, json: [*:0]const u8 };
/// A call to another plugin, with JSON.
pub const Call = extern struct { to: [*:0]const u8, method: [*:0]const u8, json: [*:0]const u8 };
/// A timer that is set, with JSON.
pub const Timer = extern struct { id: u64, ms: u64, again: bool, name: [*:0]const u8, json: [*:0]const u8 };

/// Begins a test: no sessions, the time 0, random bytes that count from 0, and these settings. The plugin's `init` runs.
pub fn begin(settings: anytype) void {
    st_begin();
    st_settings(encoded(settings));
}

/// Milliseconds since 1970; the other clock stands at the same time.
pub fn now(ms: u64) void {
    st_now(ms);
}

/// The first of the random bytes; each is one more than the one before.
pub fn random(first: u8) void {
    st_random(first);
}

/// A server that is up.
pub fn server(id: [:0]const u8, server_type: [:0]const u8) void {
    st_server(id, server_type);
}

/// What a remote of another plugin answers from now on; `method` is `serverType.service.method`.
pub fn answer(method: [:0]const u8, value: anytype) void {
    st_answer(method, encoded(value));
}

/// A client that has connected, with this user if one is named. Answers its session's number.
pub fn connect(user: ?[:0]const u8) u64 {
    return st_connect(if (user) |name| name.ptr else null);
}

/// Sends a message as a client does. Answers what the client gets: JSON, of a failure `{"code":…}`.
pub fn request(session: u64, name: [:0]const u8, message: anytype) [:0]const u8 {
    return std.mem.span(st_request(session, name, encoded(message)));
}

/// Calls a remote of the plugin as another plugin does. Answers JSON, of a failure `{"code":…}`.
pub fn remote(method: [:0]const u8, args: anytype) [:0]const u8 {
    return std.mem.span(st_remote(method, encoded(args)));
}

/// The server of a type that the route function picks for a text; of a failure `{"code":…}`.
pub fn route(server_type: [:0]const u8, text: [:0]const u8) [:0]const u8 {
    return std.mem.span(st_route(server_type, text));
}

/// The message of the last failure.
pub fn why() [:0]const u8 {
    return std.mem.span(st_why());
}

/// Ends a session.
pub fn disconnect(session: u64, reason: [:0]const u8) void {
    st_disconnect(session, reason);
}

/// Lets a timer go off. Answers whether its function succeeded.
pub fn fire(timer: Timer) bool {
    return st_fire(timer.id);
}

/// The user of a session as its frontend has it.
pub fn uid(session: u64) ?[:0]const u8 {
    return std.mem.span(st_uid(session) orelse return null);
}

/// A setting as the frontend has it, JSON; null if it was never pushed.
pub fn setting(session: u64, key: [:0]const u8) ?[:0]const u8 {
    return std.mem.span(st_setting(session, key) orelse return null);
}

/// What was sent to clients, in order.
pub fn pushes() []const Push {
    return if (st_push_count == 0) &.{} else st_pushes[0..st_push_count];
}

/// The calls to other plugins, in order.
pub fn calls() []const Call {
    return if (st_call_count == 0) &.{} else st_calls[0..st_call_count];
}

/// The timers that are set.
pub fn timers() []const Timer {
    return if (st_timer_count == 0) &.{} else st_timers[0..st_timer_count];
}

/// A value as JSON, until the end of the tests.
fn encoded(value: anytype) [:0]const u8 {
    const text = std.json.Stringify.valueAlloc(std.heap.c_allocator, value, .{}) catch @panic("out of memory");
    return std.heap.c_allocator.dupeZ(u8, text) catch @panic("out of memory");
}
