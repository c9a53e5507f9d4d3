//! What the host calls.

const std = @import("std");
const c = @import("contract");
const failures = @import("failures.zig");
const host = @import("host.zig");
const json = @import("json.zig");
const memory = @import("memory.zig");

/// Makes a plugin of functions. All parts can be left out; each entry of a table is a name and a function.
///
/// * `.routes`: `fn (message: M, session: Session) !A`, by `serverType.handler.method`. No answer (`void`) is `{}`.
/// * `.remotes`: `fn (args: M) !A`, by `serverType.service.method`.
/// * `.routers`: `fn (key: RouteKey, servers: []const Server) !Server`, by server type; of the host it can reach only the log.
/// * `.timers`: `fn (payload: M) !void`, by the timers' name.
/// * `.init`, `.start`, `.stop`: `fn () !void`; `.session_closed`: `fn (session: Session, reason: []const u8) !void`.
pub fn plugin(comptime offer: anytype) void {
    const served = Served(offer);
    const functions = .{
        .{ "handler_routes", &served.routes },
        .{ "handler_handle", &served.handle },
        .{ "remote_methods", &served.methods },
        .{ "remote_call", &served.call },
        .{ "router_server_types", &served.serverTypes },
        .{ "router_set_servers", &served.setServers },
        .{ "router_route", &served.route },
        .{ "lifecycle_init", &served.init },
        .{ "lifecycle_start", &served.start },
        .{ "lifecycle_session_closed", &served.sessionClosed },
        .{ "lifecycle_stop", &served.stop },
        .{ "timer_fired", &served.fired },
    };
    inline for (functions) |function| @export(function[1], .{ .name = "exports_shaddock_plugin_" ++ function[0] });
}

const Text = c.sdk_plugin_string_t;
const Bytes = c.sdk_plugin_list_u8_t;
const RawSession = c.shaddock_plugin_types_session_t;
const Failure = c.shaddock_plugin_types_failure_t;
const RawServers = c.exports_shaddock_plugin_router_list_server_info_t;

/// The servers of a type, as the host told them last.
const Known = struct {
    servers: []const host.Server,
    raw: RawServers,
};

var known: std.StringHashMapUnmanaged(Known) = .empty;

/// Gives a failure out; `what` says of which call.
fn giveFailure(what: []const u8, err: anyerror, into: *Failure) bool {
    const failed = failures.of(err);
    const message = std.fmt.allocPrint(memory.allocator, "{s}: {s}", .{ what, failed.message }) catch "out of memory";
    into.* = .{ .code = failed.code, .message = given(memory.valid(message)), .retryable = failed.retryable };
    return false;
}

fn given(text: []const u8) Text {
    const copy = memory.forHost(text);
    return .{ .ptr = memory.pointer(copy), .len = copy.len };
}

fn giveBody(body: []const u8, into: *Bytes) void {
    const copy = memory.forHost(body);
    into.* = .{ .ptr = memory.pointer(copy), .len = copy.len };
}

/// Logs an error that nobody waits for.
fn tell(what: []const u8, err: anyerror) void {
    host.log(.warn, "{s}: {s}", .{ what, failures.of(err).message });
}

fn Served(comptime offer: anytype) type {
    return struct {
        fn table(comptime name: []const u8) if (@hasField(@TypeOf(offer), name)) @FieldType(@TypeOf(offer), name) else @TypeOf(.{}) {
            return if (@hasField(@TypeOf(offer), name)) @field(offer, name) else .{};
        }

        fn giveNames(comptime name: []const u8, into: *c.sdk_plugin_list_string_t) void {
            const entries = comptime table(name);
            const names = memory.gpa.alloc(Text, entries.len) catch @panic("out of memory");
            inline for (entries, 0..) |entry, i| names[i] = given(entry[0]);
            into.* = .{ .ptr = if (names.len == 0) null else names.ptr, .len = names.len };
        }

        /// The value of a function's first parameter.
        fn read(comptime function: anytype, body: Bytes) !@typeInfo(@TypeOf(function)).@"fn".params[0].type.? {
            return json.decode(@typeInfo(@TypeOf(function)).@"fn".params[0].type.?, host.slice(body));
        }

        fn answer(comptime nothing: []const u8, value: anytype) ![]const u8 {
            return if (@TypeOf(value) == void) nothing else json.encode(value);
        }

        fn unknown() error{Failure} {
            return failures.fail(404, "the plugin has no such function", .{});
        }

        fn routes(ret: *c.sdk_plugin_list_string_t) callconv(.c) void {
            giveNames("routes", ret);
        }

        fn handle(name: *Text, body: *Bytes, raw: *RawSession, ret: *Bytes, err: *Failure) callconv(.c) bool {
            defer {
                c.sdk_plugin_string_free(name);
                c.sdk_plugin_list_u8_free(body);
                c.shaddock_plugin_types_session_free(raw);
                memory.freeAll();
            }
            const result = handled(host.slice(name.*), body.*, .{ .held = raw }) catch |why| {
                return giveFailure(host.slice(name.*), why, err);
            };
            giveBody(result, ret);
            return true;
        }

        fn handled(name: []const u8, body: Bytes, session: host.Session) ![]const u8 {
            inline for (comptime table("routes")) |entry| {
                if (std.mem.eql(u8, entry[0], name)) {
                    return answer("", try entry[1](try read(entry[1], body), session));
                }
            }
            return unknown();
        }

        fn methods(ret: *c.sdk_plugin_list_string_t) callconv(.c) void {
            giveNames("remotes", ret);
        }

        fn call(name: *Text, args: *Bytes, ret: *Bytes, err: *Failure) callconv(.c) bool {
            defer {
                c.sdk_plugin_string_free(name);
                c.sdk_plugin_list_u8_free(args);
                memory.freeAll();
            }
            const result = called(host.slice(name.*), args.*) catch |why| {
                return giveFailure(host.slice(name.*), why, err);
            };
            giveBody(result, ret);
            return true;
        }

        fn called(name: []const u8, args: Bytes) ![]const u8 {
            inline for (comptime table("remotes")) |entry| {
                if (std.mem.eql(u8, entry[0], name)) return answer("null", try entry[1](try read(entry[1], args)));
            }
            return unknown();
        }

        fn serverTypes(ret: *c.sdk_plugin_list_string_t) callconv(.c) void {
            giveNames("routers", ret);
        }

        fn setServers(server_type: *Text, list: *RawServers) callconv(.c) void {
            const entry = known.getOrPut(memory.gpa, host.slice(server_type.*)) catch @panic("out of memory");
            if (entry.found_existing) {
                memory.gpa.free(entry.value_ptr.servers);
                c.exports_shaddock_plugin_router_list_server_info_free(&entry.value_ptr.raw);
                c.sdk_plugin_string_free(server_type);
            }
            const all = memory.gpa.alloc(host.Server, list.len) catch @panic("out of memory");
            for (all, host.slice(list.*)) |*server, told| server.* = host.Server.of(told);
            entry.value_ptr.* = .{ .servers = all, .raw = list.* };
        }

        fn route(
            server_type: *Text,
            key: *c.exports_shaddock_plugin_router_route_key_t,
            method: *Text,
            ret: *c.exports_shaddock_plugin_router_target_t,
            err: *Failure,
        ) callconv(.c) bool {
            defer {
                c.sdk_plugin_string_free(server_type);
                c.exports_shaddock_plugin_router_route_key_free(key);
                c.sdk_plugin_string_free(method);
                memory.freeAll();
            }
            const by: host.RouteKey = if (key.tag == c.EXPORTS_SHADDOCK_PLUGIN_ROUTER_ROUTE_KEY_SESSION)
                .{ .session = .{ .held = &key.val.session } }
            else
                .{ .value = host.slice(key.val.value) };
            const server = routed(host.slice(server_type.*), by) catch |why| {
                return giveFailure(host.slice(server_type.*), why, err);
            };
            ret.* = .{ .tag = c.EXPORTS_SHADDOCK_PLUGIN_ROUTER_TARGET_ID, .val = .{ .id = given(server.id) } };
            return true;
        }

        fn routed(server_type: []const u8, key: host.RouteKey) !host.Server {
            const servers = if (known.get(server_type)) |told| told.servers else &.{};
            inline for (comptime table("routers")) |entry| {
                if (std.mem.eql(u8, entry[0], server_type)) return entry[1](key, servers);
            }
            return unknown();
        }

        fn begin(comptime moment: []const u8, told: *Text, err: *Failure) bool {
            defer memory.freeAll();
            // The texts told before may be in use as long as this one; there are two at most.
            host.told_settings = host.slice(told.*);
            if (@hasField(@TypeOf(offer), moment)) {
                @field(offer, moment)() catch |why| return giveFailure(moment, why, err);
            }
            return true;
        }

        fn init(told: *Text, err: *Failure) callconv(.c) bool {
            return begin("init", told, err);
        }

        fn start(told: *Text, err: *Failure) callconv(.c) bool {
            return begin("start", told, err);
        }

        fn sessionClosed(raw: *RawSession, reason: *Text) callconv(.c) void {
            defer {
                c.shaddock_plugin_types_session_free(raw);
                c.sdk_plugin_string_free(reason);
                memory.freeAll();
            }
            if (@hasField(@TypeOf(offer), "session_closed")) {
                offer.session_closed(.{ .held = raw }, host.slice(reason.*)) catch |why| tell("session closed", why);
            }
        }

        fn stop() callconv(.c) void {
            defer memory.freeAll();
            if (@hasField(@TypeOf(offer), "stop")) offer.stop() catch |why| tell("stop", why);
        }

        fn fired(name: *Text, _: u64, payload: *Bytes, err: *Failure) callconv(.c) bool {
            defer {
                c.sdk_plugin_string_free(name);
                c.sdk_plugin_list_u8_free(payload);
                memory.freeAll();
            }
            ran(host.slice(name.*), payload.*) catch |why| return giveFailure(host.slice(name.*), why, err);
            return true;
        }

        fn ran(name: []const u8, payload: Bytes) !void {
            inline for (comptime table("timers")) |entry| {
                if (std.mem.eql(u8, entry[0], name)) return entry[1](try read(entry[1], payload));
            }
            return unknown();
        }
    };
}
