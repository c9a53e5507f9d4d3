//! What a plugin can call.

const std = @import("std");
const c = @import("contract");
const failures = @import("failures.zig");
const json = @import("json.zig");
const memory = @import("memory.zig");

pub const Level = enum(u8) { debug, info, warn, err };

/// A text for the bindings, which only read it.
fn raw(text: []const u8) c.sdk_plugin_string_t {
    return .{ .ptr = memory.pointer(text), .len = text.len };
}

fn bytes(body: []const u8) c.sdk_plugin_list_u8_t {
    return .{ .ptr = memory.pointer(body), .len = body.len };
}

/// What the bindings hold as a list or a text.
pub fn slice(list: anytype) @TypeOf(list.ptr[0..list.len]) {
    return if (list.len == 0) &.{} else list.ptr[0..list.len];
}

/// A copy until the end of the call.
fn copy(text: c.sdk_plugin_string_t) []const u8 {
    return memory.allocator.dupe(u8, slice(text)) catch @panic("out of memory");
}

/// Takes the outcome of a function of the bindings.
fn check(ok: bool, failure: *c.shaddock_plugin_types_failure_t) error{Failure}!void {
    if (ok) return;
    defer c.shaddock_plugin_types_failure_free(failure);
    return failures.tell(.{
        .code = failure.code,
        .message = copy(failure.message),
        .retryable = failure.retryable,
    });
}

// --- the log, time, random numbers ---

/// Writes a line to the server's log. What is no UTF-8 in it is replaced.
pub fn log(level: Level, comptime format: []const u8, values: anytype) void {
    const line = std.fmt.allocPrint(memory.allocator, format, values) catch return;
    var text = raw(memory.valid(line));
    c.shaddock_plugin_app_log(@intFromEnum(level), &text);
}

pub fn logFn(
    comptime level: std.log.Level,
    comptime scope: @EnumLiteral(),
    comptime format: []const u8,
    values: anytype,
) void {
    const prefix = if (scope == .default) "" else "(" ++ @tagName(scope) ++ ") ";
    log(switch (level) {
        .err => .err,
        .warn => .warn,
        .info => .info,
        .debug => .debug,
    }, prefix ++ format, values);
}

pub fn panicked(message: []const u8, _: ?usize) noreturn {
    log(.err, "panic: {s}", .{message});
    @trap();
}

/// Wall clock, milliseconds since 1970.
pub fn nowMs() u64 {
    return c.shaddock_plugin_app_now_ms();
}

/// Monotonic clock, in nanoseconds.
pub fn monotonicNs() u64 {
    return c.shaddock_plugin_app_monotonic_ns();
}

/// Random numbers of cryptographic quality.
pub const random: std.Random = .{ .ptr = undefined, .fillFn = fillRandom };

fn fillRandom(_: *anyopaque, into: []u8) void {
    var rest = into;
    while (rest.len > 0) {
        var given: c.sdk_plugin_list_u8_t = undefined;
        c.shaddock_plugin_app_random_bytes(@min(rest.len, 4096), &given);
        defer c.sdk_plugin_list_u8_free(&given);
        @memcpy(rest[0..given.len], slice(given));
        rest = rest[given.len..];
    }
}

// --- servers ---

/// A server of the cluster.
pub const Server = struct {
    id: []const u8,
    server_type: []const u8,
    frontend: bool,
    host: []const u8,
    port: ?u16,
    client_host: ?[]const u8,
    client_port: ?u16,
    /// The whole entry of servers.json.
    fields: []const u8,

    pub fn of(server: c.shaddock_plugin_types_server_info_t) Server {
        return .{
            .id = slice(server.id),
            .server_type = slice(server.server_type),
            .frontend = server.frontend,
            .host = slice(server.host),
            .port = if (server.port.is_some) server.port.val else null,
            .client_host = if (server.client_host.is_some) slice(server.client_host.val) else null,
            .client_port = if (server.client_port.is_some) server.client_port.val else null,
            .fields = slice(server.fields),
        };
    }

    fn copied(server: Server) Server {
        var all = server;
        all.id = duplicate(server.id);
        all.server_type = duplicate(server.server_type);
        all.host = duplicate(server.host);
        all.client_host = if (server.client_host) |text| duplicate(text) else null;
        all.fields = duplicate(server.fields);
        return all;
    }

    fn duplicate(text: []const u8) []const u8 {
        return memory.allocator.dupe(u8, text) catch @panic("out of memory");
    }
};

/// The server that the plugin runs in.
pub fn ownServer() Server {
    var server: c.shaddock_plugin_types_server_info_t = undefined;
    c.shaddock_plugin_app_own_server(&server);
    defer c.shaddock_plugin_types_server_info_free(&server);
    return Server.of(server).copied();
}

/// The servers of a type that are up now, sorted by id.
pub fn servers(server_type: []const u8) ![]Server {
    var list: c.shaddock_plugin_app_list_server_info_t = undefined;
    var name = raw(server_type);
    c.shaddock_plugin_app_servers(&name, &list);
    defer c.shaddock_plugin_app_list_server_info_free(&list);
    const all = try memory.allocator.alloc(Server, list.len);
    for (all, slice(list)) |*server, given| server.* = Server.of(given).copied();
    return all;
}

/// What `init` or `start` was told.
pub var told_settings: []const u8 = "{}";

/// The plugin's own settings from plugins.json.
pub fn settings(comptime T: type) !T {
    return json.decode(T, told_settings);
}

// --- sessions ---

/// A user at a frontend, as a channel knows it.
pub const Member = struct {
    uid: []const u8,
    frontend: []const u8,

    fn rawMember(member: Member) c.shaddock_plugin_types_member_t {
        return .{ .uid = raw(member.uid), .frontend_id = raw(member.frontend) };
    }
};

/// The session of a client: a copy made when the call was dispatched.
pub const Session = struct {
    held: *c.shaddock_plugin_types_session_t,

    /// The id of the frontend that holds the connection.
    pub fn frontend(session: Session) []const u8 {
        return slice(session.held.id.frontend_id);
    }

    /// Its number at its frontend.
    pub fn number(session: Session) u64 {
        return session.held.id.number;
    }

    /// The user, if one is bound.
    pub fn uid(session: Session) ?[]const u8 {
        return if (session.held.uid.is_some) slice(session.held.uid.val) else null;
    }

    /// The user as a channel knows it; fails (401) if none is bound.
    pub fn member(session: Session) !Member {
        const bound = session.uid() orelse return failures.fail(401, "no user is bound to the session", .{});
        return .{ .uid = bound, .frontend = session.frontend() };
    }

    /// A setting; null if it was never set or is null.
    pub fn get(session: Session, comptime T: type, key: []const u8) !?T {
        for (slice(session.held.settings)) |setting| {
            if (std.mem.eql(u8, slice(setting.key), key)) return json.decode(?T, slice(setting.value));
        }
        return null;
    }

    /// Changes a setting of this copy; `push` lets the next call see it.
    pub fn set(session: Session, key: []const u8, value: anytype) !void {
        const text = try json.encode(value);
        var name = raw(key);
        var content = raw(text);
        var failure: c.shaddock_plugin_types_failure_t = undefined;
        try check(c.shaddock_plugin_sessions_set(&session.held.id, &name, &content, &failure), &failure);
        const kept = raw(memory.forHost(text));
        const list = &session.held.settings;
        for (slice(list.*)) |*setting| {
            if (!std.mem.eql(u8, slice(setting.key), key)) continue;
            c.sdk_plugin_string_free(&setting.value);
            setting.value = kept;
            return;
        }
        const more = try memory.gpa.realloc(slice(list.*), list.len + 1);
        more[list.len] = .{ .key = raw(memory.forHost(key)), .value = kept };
        list.* = .{ .ptr = more.ptr, .len = more.len };
    }

    /// Writes all settings of this copy to the frontend. The last writer wins.
    pub fn push(session: Session) !void {
        var all: c.sdk_plugin_list_string_t = .{ .ptr = null, .len = 0 };
        var failure: c.shaddock_plugin_types_failure_t = undefined;
        return check(c.shaddock_plugin_sessions_push(&session.held.id, &all, &failure), &failure);
    }

    /// Binds a user. The same user again is fine, another one fails (409).
    pub fn bind(session: Session, name: []const u8) !void {
        var text = raw(name);
        var failure: c.shaddock_plugin_types_failure_t = undefined;
        try check(c.shaddock_plugin_sessions_bind(&session.held.id, &text, &failure), &failure);
        c.sdk_plugin_option_string_free(&session.held.uid);
        session.held.uid = .{ .is_some = true, .val = raw(memory.forHost(name)) };
    }

    /// Takes the binding back. Nothing happens if there is none.
    pub fn unbind(session: Session) !void {
        if (!session.held.uid.is_some) return;
        var failure: c.shaddock_plugin_types_failure_t = undefined;
        try check(c.shaddock_plugin_sessions_unbind(&session.held.id, &session.held.uid.val, &failure), &failure);
        c.sdk_plugin_option_string_free(&session.held.uid);
        session.held.uid.is_some = false;
    }

    /// Tells the client why, and closes the connection.
    pub fn kick(session: Session, reason: []const u8) !void {
        var text = raw(reason);
        var failure: c.shaddock_plugin_types_failure_t = undefined;
        return check(c.shaddock_plugin_sessions_kick(&session.held.id, &text, &failure), &failure);
    }

    /// Sends a push message to this session, whether a user is bound or not.
    pub fn send(session: Session, route: []const u8, message: anytype) !void {
        var name = raw(route);
        var body = bytes(try json.encode(message));
        var failure: c.shaddock_plugin_types_failure_t = undefined;
        return check(c.shaddock_plugin_sessions_send(&session.held.id, &name, &body, &failure), &failure);
    }
};

// --- channels ---

/// A channel of this server, by its name. It begins with its first member, and ends with its last.
pub const Channel = struct {
    name: []const u8,

    /// Adds a member. False if it was one already.
    pub fn join(channel: Channel, member: Member) !bool {
        var name = raw(channel.name);
        var who = member.rawMember();
        var is_new: bool = undefined;
        var failure: c.shaddock_plugin_types_failure_t = undefined;
        try check(c.shaddock_plugin_channels_join(&name, &who, &is_new, &failure), &failure);
        return is_new;
    }

    /// Removes a member. False if it was none.
    pub fn leave(channel: Channel, member: Member) bool {
        var name = raw(channel.name);
        var who = member.rawMember();
        return c.shaddock_plugin_channels_leave(&name, &who);
    }

    /// The members; none if there is no such channel.
    pub fn members(channel: Channel) ![]Member {
        var name = raw(channel.name);
        var list: c.shaddock_plugin_channels_list_member_t = undefined;
        var failure: c.shaddock_plugin_types_failure_t = undefined;
        check(c.shaddock_plugin_channels_members(&name, &list, &failure), &failure) catch |err| {
            return if (failures.was(404)) &.{} else err;
        };
        defer c.shaddock_plugin_channels_list_member_free(&list);
        const all = try memory.allocator.alloc(Member, list.len);
        for (all, slice(list)) |*member, given| {
            member.* = .{ .uid = copy(given.uid), .frontend = copy(given.frontend_id) };
        }
        return all;
    }

    /// The first member with this user id.
    pub fn find(channel: Channel, uid: []const u8) ?Member {
        var name = raw(channel.name);
        var user = raw(uid);
        var member: c.shaddock_plugin_types_member_t = undefined;
        if (!c.shaddock_plugin_channels_find(&name, &user, &member)) return null;
        defer c.shaddock_plugin_types_member_free(&member);
        return .{ .uid = copy(member.uid), .frontend = copy(member.frontend_id) };
    }

    /// Sends a push message to everybody who is a member now; fails (404) if there is no such channel.
    pub fn push(channel: Channel, route: []const u8, message: anytype) !void {
        var name = raw(channel.name);
        var on = raw(route);
        var body = bytes(try json.encode(message));
        var failure: c.shaddock_plugin_types_failure_t = undefined;
        return check(c.shaddock_plugin_channels_push(&name, &on, &body, &failure), &failure);
    }
};

/// Sends a push message to the users named; fails (400) if there are none.
pub fn pushTo(members: []const Member, route: []const u8, message: anytype) !void {
    const list = try memory.allocator.alloc(c.shaddock_plugin_types_member_t, members.len);
    for (list, members) |*item, member| item.* = member.rawMember();
    var all: c.shaddock_plugin_channels_list_member_t = .{ .ptr = if (list.len == 0) null else list.ptr, .len = list.len };
    var on = raw(route);
    var body = bytes(try json.encode(message));
    var failure: c.shaddock_plugin_types_failure_t = undefined;
    return check(c.shaddock_plugin_channels_push_to(&all, &on, &body, &failure), &failure);
}

/// Sends a push message to all sessions, or the bound ones, of every frontend of a type.
pub fn broadcast(server_type: []const u8, route: []const u8, message: anytype, bound_only: bool) !void {
    var to = raw(server_type);
    var on = raw(route);
    var body = bytes(try json.encode(message));
    var failure: c.shaddock_plugin_types_failure_t = undefined;
    return check(c.shaddock_plugin_channels_broadcast(&to, &on, &body, bound_only, &failure), &failure);
}

// --- calls to other servers ---

/// What a call is routed by.
pub const Key = union(enum) {
    session: Session,
    text: []const u8,

    fn rawKey(key: Key) c.shaddock_plugin_rpc_route_key_t {
        return switch (key) {
            .session => |session| .{ .tag = 0, .val = .{ .session = session.held.id } },
            .text => |text| .{ .tag = 1, .val = .{ .value = raw(text) } },
        };
    }
};

fn answerOf(comptime Answer: type, answer: *c.sdk_plugin_list_u8_t) !Answer {
    defer c.sdk_plugin_list_u8_free(answer);
    return json.decode(Answer, try memory.allocator.dupe(u8, slice(answer.*)));
}

/// Calls the remote `service.method` on one server of a type, picked by its route function.
pub fn call(comptime Answer: type, server_type: []const u8, key: Key, method: []const u8, args: anytype) !Answer {
    var to = raw(server_type);
    var by = key.rawKey();
    var name = raw(method);
    var body = bytes(try json.encode(args));
    var answer: c.sdk_plugin_list_u8_t = undefined;
    var failure: c.shaddock_plugin_types_failure_t = undefined;
    try check(c.shaddock_plugin_rpc_call(&to, &by, &name, &body, &answer, &failure), &failure);
    return answerOf(Answer, &answer);
}

/// Calls one server by its id.
pub fn callServer(comptime Answer: type, id: []const u8, method: []const u8, args: anytype) !Answer {
    var to = raw(id);
    var name = raw(method);
    var body = bytes(try json.encode(args));
    var answer: c.sdk_plugin_list_u8_t = undefined;
    var failure: c.shaddock_plugin_types_failure_t = undefined;
    try check(c.shaddock_plugin_rpc_call_server(&to, &name, &body, &answer, &failure), &failure);
    return answerOf(Answer, &answer);
}

/// As `call`, without waiting for the outcome.
pub fn notify(server_type: []const u8, key: Key, method: []const u8, args: anytype) !void {
    var to = raw(server_type);
    var by = key.rawKey();
    var name = raw(method);
    var body = bytes(try json.encode(args));
    var failure: c.shaddock_plugin_types_failure_t = undefined;
    return check(c.shaddock_plugin_rpc_notify(&to, &by, &name, &body, &failure), &failure);
}

// --- timers ---

/// The number of a timer.
pub const Timer = enum(u64) {
    _,

    /// False if there is no such timer any more.
    pub fn cancel(timer: Timer) bool {
        return c.shaddock_plugin_timers_cancel(@intFromEnum(timer));
    }
};

/// Calls the function of that name in `timers` once, after a delay of at most 100 days.
pub fn after(delay_ms: u64, name: []const u8, payload: anytype) !Timer {
    return begin(c.shaddock_plugin_timers_after, delay_ms, name, payload);
}

/// Calls it again and again, at least 10 milliseconds apart.
pub fn every(period_ms: u64, name: []const u8, payload: anytype) !Timer {
    return begin(c.shaddock_plugin_timers_every, period_ms, name, payload);
}

fn begin(comptime function: anytype, ms: u64, name: []const u8, payload: anytype) !Timer {
    var called = raw(name);
    var body = bytes(try json.encode(payload));
    var id: u64 = undefined;
    var failure: c.shaddock_plugin_types_failure_t = undefined;
    try check(function(ms, &called, &body, &id, &failure), &failure);
    return @enumFromInt(id);
}

// --- routing ---

/// What a route function decides by.
pub const RouteKey = union(enum) {
    session: Session,
    /// The caller's own text.
    value: []const u8,

    /// The caller's own text, or that setting of the session; empty if there is neither.
    pub fn text(key: RouteKey, setting: []const u8) []const u8 {
        return switch (key) {
            .session => |session| (session.get([]const u8, setting) catch null) orelse "",
            .value => |value| value,
        };
    }
};

/// CRC-32 over the low byte of each UTF-16 unit, as a signed number.
pub fn crc32(text: []const u8) i32 {
    var crc: std.hash.Crc32 = .init();
    var characters = (std.unicode.Utf8View.initUnchecked(text)).iterator();
    while (characters.nextCodepoint()) |character| {
        const high = if (character >= 0x10000) (character - 0x10000) >> 10 else null;
        if (high) |unit| crc.update(&.{@truncate(unit)});
        crc.update(&.{@truncate(character)});
    }
    return @bitCast(crc.final());
}

/// The server that a text's hash names: `abs(crc32(text)) % n`, as pomelo's dispatchers do. Fails (503) if there is none.
pub fn pick(text: []const u8, of: []const Server) !Server {
    if (of.len == 0) {
        return failures.tell(.{ .code = 503, .message = "no server of the type is up", .retryable = true });
    }
    return of[@abs(crc32(text)) % of.len];
}
