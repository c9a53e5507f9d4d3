//! Greets whoever asks.

const std = @import("std");
const shaddock = @import("shaddock");

pub const panic = shaddock.panic;
pub const std_options = shaddock.std_options;

comptime {
    shaddock.plugin(.{ .routes = .{.{ "connector.helloHandler.greet", greet }} });
}

const Greeting = struct { text: []const u8, visits: u32 };

/// Greets a client, counts how often it came, and pushes `onGreet` to it.
fn greet(message: struct { name: []const u8 }, session: shaddock.Session) !Greeting {
    if (message.name.len == 0) return shaddock.fail(400, "a name has at least one letter", .{});
    const visits = (try session.get(u32, "visits") orelse 0) + 1;
    try session.set("visits", visits);
    try session.push();
    try session.send("onGreet", .{ .visits = visits });
    std.log.info("{s} came {d} times", .{ message.name, visits });
    const settings = try shaddock.settings(struct { greeting: []const u8 });
    const text = try std.fmt.allocPrint(shaddock.allocator, "{s}, {s}!", .{ settings.greeting, message.name });
    return .{ .text = text, .visits = visits };
}
