//! Values of Zig from JSON, and JSON from values. Kinds must fit: unlike that of `std.json`, a number is no text.

const std = @import("std");
const failures = @import("failures.zig");
const memory = @import("memory.zig");

const Value = std.json.Value;

/// JSON that is handed through as it is.
pub const Raw = struct {
    text: []const u8,

    pub fn jsonStringify(self: Raw, out: anytype) !void {
        try out.beginWriteRaw();
        try out.writer.writeAll(self.text);
        out.endWriteRaw();
    }
};

/// A value as JSON.
pub fn encode(value: anytype) ![]u8 {
    return std.json.Stringify.valueAlloc(memory.allocator, value, .{});
}

/// The value that JSON stands for; fails (400) if it is none of the type.
pub fn decode(comptime T: type, text: []const u8) !T {
    if (T == Raw) return .{ .text = text };
    const options: std.json.ParseOptions = .{ .duplicate_field_behavior = .use_last };
    const value = std.json.parseFromSliceLeaky(Value, memory.allocator, text, options) catch |err| {
        return failures.fail(400, "no JSON: {s}", .{@errorName(err)});
    };
    return convert(T, value, "the message");
}

fn wrong(name: []const u8, comptime kind: []const u8) error{Failure} {
    return failures.fail(400, "{s} is no " ++ kind, .{name});
}

fn convert(comptime T: type, value: Value, name: []const u8) !T {
    if (T == Value) return value;
    switch (@typeInfo(T)) {
        .void => return {},
        .bool => return if (value == .bool) value.bool else wrong(name, "truth value"),
        .optional => |optional| return if (value == .null) null else try convert(optional.child, value, name),
        .int => return switch (value) {
            .integer => |number| std.math.cast(T, number) orelse wrong(name, "number in its range"),
            .number_string => |text| std.fmt.parseInt(T, text, 10) catch wrong(name, "number in its range"),
            .float => |number| whole(T, number) orelse wrong(name, "whole number in its range"),
            else => wrong(name, "number"),
        },
        .float => switch (value) {
            .integer => |number| return @floatFromInt(number),
            .float => |number| return @floatCast(number),
            .number_string => |text| {
                const number = std.fmt.parseFloat(T, text) catch return wrong(name, "number");
                return if (std.math.isFinite(number)) number else wrong(name, "finite number");
            },
            else => return wrong(name, "number"),
        },
        .@"enum" => {
            if (value != .string) return wrong(name, "text");
            return std.meta.stringToEnum(T, value.string) orelse wrong(name, "known word");
        },
        .pointer => |pointer| {
            if (pointer.size != .slice) @compileError("no value of JSON is a " ++ @typeName(T));
            if (pointer.child == u8) return if (value == .string) value.string else wrong(name, "text");
            if (value != .array) return wrong(name, "array");
            const list = try memory.allocator.alloc(pointer.child, value.array.items.len);
            for (list, value.array.items) |*item, each| item.* = try convert(pointer.child, each, name);
            return list;
        },
        .@"struct" => |fields| {
            if (value != .object) return wrong(name, "object");
            var all: T = undefined;
            inline for (fields.fields) |field| {
                @field(all, field.name) = if (value.object.get(field.name)) |given|
                    try convert(field.type, given, field.name)
                else if (field.defaultValue()) |default|
                    default
                else if (@typeInfo(field.type) == .optional)
                    null
                else
                    return failures.fail(400, "{s} is missing", .{field.name});
            }
            return all;
        },
        else => @compileError("no value of JSON is a " ++ @typeName(T)),
    }
}

/// A number without a fraction, `1.0` and `1e2` too.
fn whole(comptime T: type, number: f64) ?T {
    const limit = 1 << 53;
    if (@trunc(number) != number or @abs(number) > limit) return null;
    return std.math.cast(T, @as(i64, @intFromFloat(number)));
}
