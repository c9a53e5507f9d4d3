//! Where memory comes from. The bindings free what they get with `free`, so that all of it is that of `malloc`.

const std = @import("std");

pub const gpa = std.heap.c_allocator;

var arena: std.heap.ArenaAllocator = .init(gpa);

pub const allocator = arena.allocator();

/// Frees what a call has allocated; some of it is kept for the next.
pub fn freeAll() void {
    _ = arena.reset(.{ .retain_with_limit = 16 * 1024 });
}

/// A copy that the bindings free.
pub fn forHost(text: []const u8) []u8 {
    return gpa.dupe(u8, text) catch @panic("out of memory");
}

/// Where a text begins. An empty one of Zig's is anywhere, and the host looks at the pointer nevertheless.
pub fn pointer(text: []const u8) [*c]u8 {
    return if (text.len == 0) null else @constCast(text.ptr);
}

/// What the host takes for a text: what is no UTF-8 is replaced.
pub fn valid(bytes: []const u8) []const u8 {
    if (std.unicode.utf8ValidateSlice(bytes)) return bytes;
    return std.fmt.allocPrint(allocator, "{f}", .{std.unicode.fmtUtf8(bytes)}) catch "out of memory";
}
