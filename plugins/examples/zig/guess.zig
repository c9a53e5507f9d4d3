//! Guess the number, in rooms.
//!
//! A client enters a room at its connector, joins it on the guess server that the room's name leads to, and guesses. The
//! rooms live in the plugin's memory: on guess servers it has the pool policy `single`.

const std = @import("std");
const shaddock = @import("shaddock");

const Channel = shaddock.Channel;
const Session = shaddock.Session;
const fail = shaddock.fail;

pub const panic = shaddock.panic;
pub const std_options = shaddock.std_options;

comptime {
    shaddock.plugin(.{
        .routes = .{
            .{ "connector.roomHandler.enter", enter },
            .{ "connector.roomHandler.status", look },
            .{ "guess.roomHandler.join", join },
            .{ "guess.roomHandler.guess", guess },
            .{ "guess.roomHandler.crash", crash },
        },
        .remotes = .{ .{ "guess.roomRemote.status", status }, .{ "guess.roomRemote.leave", leave } },
        .routers = .{.{ "guess", byRoom }},
        .timers = .{.{ "round", timeUp }},
        .session_closed = left,
    });
}

/// The largest number that can be the secret; the smallest is 1.
const number_max = 100;
/// Longest name of a player or a room, in characters.
const name_chars_max = 32;

/// What is being played in a room.
const Round = struct {
    number: u32,
    secret: u32,
    timer: shaddock.Timer,
};

var rounds: std.StringHashMapUnmanaged(Round) = .empty;

fn fits(name: []const u8) bool {
    const chars = std.unicode.utf8CountCodepoints(name) catch return false;
    return chars >= 1 and chars <= name_chars_max;
}

const Entry = struct { name: []const u8, room: []const u8 };

/// Connector: notes who is in which room, so that the route function knows.
fn enter(message: Entry, session: Session) !Entry {
    if (!fits(message.name) or !fits(message.room)) {
        return fail(400, "a name has 1 to {d} characters", .{name_chars_max});
    }
    try session.bind(message.name);
    try left(session, "");
    try session.set("room", message.room);
    try session.push();
    return message;
}

const InRoom = struct { room: []const u8 };

/// Connector: asks the guess server that has the room.
fn look(message: InRoom, _: Session) !shaddock.Raw {
    return shaddock.call(shaddock.Raw, "guess", .{ .text = message.room }, "roomRemote.status", message);
}

/// Route function: the guess server of the room's name.
fn byRoom(key: shaddock.RouteKey, servers: []const shaddock.Server) !shaddock.Server {
    return shaddock.pick(key.text("room"), servers);
}

fn roomOf(session: Session) ![]const u8 {
    return try session.get([]const u8, "room") orelse fail(403, "enter a room first", .{});
}

/// Begins a round, in which there is so much time to guess.
fn begin(room: []const u8, number: u32) !Round {
    const settings = try shaddock.settings(struct { roundMs: u64 = 60_000 });
    const timer = try shaddock.after(settings.roundMs, "round", .{ .room = room, .round = number });
    const secret = shaddock.random.intRangeAtMost(u32, 1, number_max);
    return .{ .number = number, .secret = secret, .timer = timer };
}

/// Ends a round: puts the next one in its place, and answers the one that was.
fn end(round: *Round, room: []const u8) !Round {
    const ended = round.*;
    _ = ended.timer.cancel();
    round.* = try begin(room, ended.number + 1);
    return ended;
}

const Joined = struct { players: []const []const u8, room: []const u8, round: u32 };

fn join(_: shaddock.Json, session: Session) !Joined {
    const room = try roomOf(session);
    const member = try session.member();
    const channel: Channel = .{ .name = room };
    const is_new = try channel.join(member);
    const round = rounds.get(room) orelse first: {
        const first = try begin(room, 1);
        try rounds.put(shaddock.gpa, try shaddock.gpa.dupe(u8, room), first);
        break :first first;
    };
    if (is_new) try channel.push("onJoin", .{ .name = member.uid, .room = room });
    const members = try channel.members();
    const players = try shaddock.allocator.alloc([]const u8, members.len);
    for (players, members) |*player, one| player.* = one.uid;
    return .{ .players = players, .room = room, .round = round.number };
}

const Hint = struct { answer: enum { higher, lower, right }, round: u32 };

fn guess(message: struct { number: f64 }, session: Session) !Hint {
    if (@trunc(message.number) != message.number or message.number < 1 or message.number > number_max) {
        return fail(400, "number is a whole number from 1 to {d}", .{number_max});
    }
    const number: u32 = @intFromFloat(message.number);
    const room = try roomOf(session);
    const member = try session.member();
    const channel: Channel = .{ .name = room };
    const playing = rounds.getPtr(room);
    if (playing == null or channel.find(member.uid) == null) return fail(403, "join the room first", .{});
    const round = playing.?;
    if (number < round.secret) return .{ .answer = .higher, .round = round.number };
    if (number > round.secret) return .{ .answer = .lower, .round = round.number };
    const ended = try end(round, room);
    const told = .{ .name = member.uid, .number = ended.secret, .room = room, .round = ended.number };
    try channel.push("onRight", told);
    return .{ .answer = .right, .round = ended.number };
}

/// Timer: nobody found the number in time.
fn timeUp(payload: struct { room: []const u8, round: u32 }) !void {
    const round = rounds.getPtr(payload.room) orelse return;
    if (round.number != payload.round) return; // found at the last moment
    const ended = try end(round, payload.room);
    const channel: Channel = .{ .name = payload.room };
    try channel.push("onTimeout", .{ .number = ended.secret, .room = payload.room, .round = ended.number });
}

const State = struct { players: usize, room: []const u8, round: u32, server: []const u8 };

/// Remote: what goes on in a room.
fn status(args: InRoom) !State {
    const round = rounds.get(args.room) orelse return fail(404, "nobody plays in {s}", .{args.room});
    const channel: Channel = .{ .name = args.room };
    const players = (try channel.members()).len;
    return .{ .players = players, .room = args.room, .round = round.number, .server = shaddock.ownServer().id };
}

const Leaver = struct { frontend: []const u8, room: []const u8, uid: []const u8 };

/// Remote: takes a player out of a room, and ends the game with the last one.
fn leave(args: Leaver) !void {
    const channel: Channel = .{ .name = args.room };
    if (!channel.leave(.{ .uid = args.uid, .frontend = args.frontend })) return;
    if ((try channel.members()).len > 0) {
        return channel.push("onLeave", .{ .name = args.uid, .room = args.room });
    }
    const ended = rounds.fetchRemove(args.room) orelse return;
    _ = ended.value.timer.cancel();
    shaddock.gpa.free(ended.key);
}

/// Connector: a session has gone, or enters another room.
fn left(session: Session, _: []const u8) !void {
    const room = try session.get([]const u8, "room") orelse return;
    const args: Leaver = .{ .frontend = session.frontend(), .room = room, .uid = session.uid() orelse return };
    return shaddock.call(void, "guess", .{ .session = session }, "roomRemote.leave", args);
}

/// What becomes of an error that nobody handles: the client gets its code, or 500, and the log the message.
fn crash(message: struct { text: []const u8 }, _: Session) !void {
    return fail(500, "{s}", .{message.text});
}

const host = shaddock.testing;
const expectEqual = std.testing.expectEqual;
const expectEqualStrings = std.testing.expectEqualStrings;

/// A player in the room `lobby`.
fn annInLobby() !u64 {
    rounds.clearRetainingCapacity();
    host.begin(.{ .roundMs = 1000 });
    const ann = host.connect(null);
    const entered = host.request(ann, "connector.roomHandler.enter", Entry{ .name = "ann", .room = "lobby" });
    try expectEqualStrings("{\"name\":\"ann\",\"room\":\"lobby\"}", entered);
    const joined = host.request(ann, "guess.roomHandler.join", .{});
    try expectEqualStrings("{\"players\":[\"ann\"],\"room\":\"lobby\",\"round\":1}", joined);
    return ann;
}

fn lastPush() host.Push {
    return host.pushes()[host.pushes().len - 1];
}

test "entering binds the user and notes the room" {
    const ann = try annInLobby();
    try expectEqualStrings("ann", host.uid(ann).?);
    try expectEqualStrings("\"lobby\"", host.setting(ann, "room").?);
    try expectEqualStrings("onJoin", std.mem.span(lastPush().route));
}

test "the secret is right and begins a new round" {
    const ann = try annInLobby();
    const secret = rounds.get("lobby").?.secret;
    const answer = host.request(ann, "guess.roomHandler.guess", .{ .number = secret });
    try expectEqualStrings("{\"answer\":\"right\",\"round\":1}", answer);
    try expectEqualStrings("onRight", std.mem.span(lastPush().route));
    try expectEqualStrings("ann", std.mem.span(lastPush().to));
    try expectEqual(1, host.timers().len);
    try expectEqual(1000, host.timers()[0].ms);
    try expectEqualStrings("{\"room\":\"lobby\",\"round\":2}", std.mem.span(host.timers()[0].json));
}

test "a round ends when its time is up" {
    _ = try annInLobby();
    try std.testing.expect(host.fire(host.timers()[0]));
    try expectEqualStrings("onTimeout", std.mem.span(lastPush().route));
    try expectEqual(2, rounds.get("lobby").?.number);
}

test "what makes no sense is refused" {
    const ann = try annInLobby();
    for ([_]f64{ 0, 101, 1.5 }) |number| {
        try expectEqualStrings("{\"code\":400}", host.request(ann, "guess.roomHandler.guess", .{ .number = number }));
    }
    try expectEqualStrings("{\"code\":500}", host.request(ann, "guess.roomHandler.crash", .{ .text = "boom" }));
    try expectEqualStrings("guess.roomHandler.crash: boom", host.why());
}

test "whoever leaves is gone" {
    const ann = try annInLobby();
    host.answer("guess.roomRemote.leave", null);
    host.disconnect(ann, "client closed");
    try expectEqual(1, host.calls().len);
    const args: Leaver = .{ .frontend = host.frontend, .room = "lobby", .uid = "ann" };
    try expectEqualStrings("null", host.remote("guess.roomRemote.leave", args));
    try expectEqual(0, rounds.count());
    try expectEqual(0, host.timers().len);
}

test "a room is on the server of its name" {
    host.begin(.{});
    host.server("guess-0", "guess");
    host.server("guess-1", "guess");
    try expectEqualStrings("guess-1", host.route("guess", "porch"));
    try expectEqualStrings("guess-0", host.route("guess", "yard"));
}
