//! Why a call gives no result: what an error cannot carry.

const std = @import("std");
const memory = @import("memory.zig");

pub const Failed = struct {
    code: u32,
    message: []const u8,
    retryable: bool = false,
};

/// What `error.Failure` stands for.
var told: ?Failed = null;

/// Makes the failure of a call: `return fail(404, "no {s}", .{name});`
pub fn fail(code: u32, comptime format: []const u8, values: anytype) error{Failure} {
    const message = std.fmt.allocPrint(memory.allocator, format, values) catch "out of memory";
    return tell(.{ .code = code, .message = message });
}

pub fn tell(failed: Failed) error{Failure} {
    told = failed;
    return error.Failure;
}

/// Whether the last failure has this code.
pub fn was(code: u32) bool {
    return if (told) |failed| failed.code == code else false;
}

/// What an error stands for.
pub fn of(err: anyerror) Failed {
    if (err == error.Failure) if (told) |failed| return failed;
    return .{ .code = 500, .message = @errorName(err) };
}
