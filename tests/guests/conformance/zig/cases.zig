//! The cases that tests/tests/conformance.rs puts to every language.

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
            .{ "connector.caseHandler.enter", enter },
            .{ "connector.caseHandler.relay", relay },
            .{ "conform.caseHandler.where", where },
            .{ "conform.caseHandler.join", join },
            .{ "conform.caseHandler.echo", echo },
            .{ "conform.caseHandler.ids", ids },
            .{ "conform.caseHandler.note", note },
            .{ "conform.caseHandler.fields", fields },
            .{ "conform.caseHandler.size", size },
            .{ "conform.caseHandler.big", big },
            .{ "conform.caseHandler.fail", failing },
            .{ "conform.caseHandler.crash", crash },
            .{ "conform.caseHandler.wrong", wrong },
            .{ "conform.caseHandler.trap", trap },
            .{ "conform.caseHandler.spin", spin },
            .{ "conform.caseHandler.recurse", recurse },
            .{ "conform.caseHandler.print", print },
            .{ "conform.caseHandler.chance", chance },
        },
        .remotes = .{
            .{ "conform.caseRemote.echo", echoRemote },
            .{ "conform.caseRemote.fail", failRemote },
        },
        .routers = .{.{ "conform", route }},
    });
}

const Nothing = shaddock.Json;

/// Notes where to go.
fn enter(message: struct { name: []const u8, to: []const u8 }, session: Session) !struct { name: []const u8 } {
    try session.bind(message.name);
    try session.set("to", message.to);
    try session.push();
    return .{ .name = message.name };
}

const Relayed = union(enum) {
    answer: shaddock.Json,
    failed: shaddock.Failed,

    pub fn jsonStringify(self: Relayed, out: anytype) !void {
        switch (self) {
            .answer => |answer| try out.write(.{ .answer = answer }),
            .failed => |failed| try out.write(.{ .code = failed.code, .message = failed.message }),
        }
    }
};

/// Calls a remote, and answers what became of it.
fn relay(message: struct { method: []const u8, args: shaddock.Json }, _: Session) !Relayed {
    const method = try std.fmt.allocPrint(shaddock.allocator, "caseRemote.{s}", .{message.method});
    const answer = shaddock.call(shaddock.Json, "conform", .{ .text = "relay" }, method, message.args) catch |err| {
        return .{ .failed = shaddock.failureOf(err) };
    };
    return .{ .answer = answer };
}

fn route(key: shaddock.RouteKey, servers: []const shaddock.Server) !shaddock.Server {
    const to = key.text("to");
    if (std.mem.eql(u8, to, "nowhere")) return fail(418, "no such way", .{});
    return shaddock.pick(to, servers);
}

fn where(_: Nothing, _: Session) !struct { server: []const u8 } {
    return .{ .server = shaddock.ownServer().id };
}

fn join(_: Nothing, session: Session) !void {
    const all: Channel = .{ .name = "all" };
    _ = try all.join(try session.member());
}

fn echo(message: shaddock.Json, _: Session) !shaddock.Json {
    return message;
}

fn echoRemote(args: shaddock.Json) !shaddock.Json {
    return args;
}

fn ids(message: struct { id: u64 }, _: Session) !struct { id: u64, text: []const u8 } {
    return .{ .id = message.id, .text = try std.fmt.allocPrint(shaddock.allocator, "{d}", .{message.id}) };
}

fn note(message: shaddock.Json, _: Session) !void {
    const all: Channel = .{ .name = "all" };
    try all.push("onNote", message);
}

const Fields = struct { maybe: ?[]const u8 };

fn fields(message: Fields, _: Session) !Fields {
    return message;
}

const Text = struct { text: []const u8 };

fn size(message: Text, _: Session) !struct { chars: usize } {
    return .{ .chars = try std.unicode.utf8CountCodepoints(message.text) };
}

fn big(message: struct { chars: usize }, _: Session) !Text {
    const text = try shaddock.allocator.alloc(u8, message.chars);
    @memset(text, 'x');
    return .{ .text = text };
}

const Failing = struct { code: u32, message: []const u8 };

fn failRemote(args: Failing) !void {
    return fail(args.code, "{s}", .{args.message});
}

fn failing(message: Failing, _: Session) !void {
    return failRemote(message);
}

fn crash(_: Text, _: Session) !void {
    return error.NobodyExpectedThis;
}

/// The types of Zig leave only this: JSON that is none.
fn wrong(_: Nothing, _: Session) !shaddock.Raw {
    return .{ .text = "{" };
}

fn trap(_: Nothing, _: Session) !void {
    @panic("this is a panic");
}

var turns: u32 = 0;

fn spin(_: Nothing, _: Session) !void {
    while (true) std.mem.doNotOptimizeAway(turns);
}

fn deeper(depth: u32) u32 {
    std.mem.doNotOptimizeAway(&depth);
    return 1 +% deeper(depth +% 1);
}

fn recurse(_: Nothing, _: Session) !struct { depth: u32 } {
    return .{ .depth = deeper(0) };
}

fn print(message: Text, _: Session) !void {
    std.log.info("{s} \x00\x1b[31m\xff\nforged", .{message.text});
}

fn chance(_: Nothing, _: Session) !struct { number: u64 } {
    return .{ .number = shaddock.random.int(u64) };
}
