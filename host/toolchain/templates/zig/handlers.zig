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

test "a client is greeted, and its visits are counted" {
    const host = shaddock.testing;
    host.begin(.{ .greeting = "Hello" });
    const ada = host.connect(null);
    const first = host.request(ada, "connector.helloHandler.greet", .{ .name = "Ada" });
    try std.testing.expectEqualStrings("{\"text\":\"Hello, Ada!\",\"visits\":1}", first);
    const second = host.request(ada, "connector.helloHandler.greet", .{ .name = "Ada" });
    try std.testing.expectEqualStrings("{\"text\":\"Hello, Ada!\",\"visits\":2}", second);
    try std.testing.expectEqualStrings("onGreet", std.mem.span(host.pushes()[1].route));
    try std.testing.expectEqualStrings("{\"visits\":2}", std.mem.span(host.pushes()[1].json));
}

test "a client without a name is refused" {
    const host = shaddock.testing;
    host.begin(.{});
    const answer = host.request(host.connect(null), "connector.helloHandler.greet", .{ .name = "" });
    try std.testing.expectEqualStrings("{\"code\":400}", answer);
}
