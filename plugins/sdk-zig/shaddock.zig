//! Write Shaddock plugins in Zig.
//!
//! A plugin names its functions once, and takes two declarations of `std` from here:
//!
//!     comptime {
//!         shaddock.plugin(.{ .routes = .{.{ "area.playerHandler.move", move }} });
//!     }
//!     pub const panic = shaddock.panic;
//!     pub const std_options = shaddock.std_options;
//!
//! Messages are JSON, and become the types of the functions' parameters. The error that a function returns is the failure of the
//! call: `return fail(404, "no {s}", .{name})` has a code and a message, any other error the code 500 and its name. What
//! `allocator` gives lives until the end of the call; what is to live longer comes from `gpa`.

const std = @import("std");
const exports = @import("exports.zig");
const failures = @import("failures.zig");
const host = @import("host.zig");
const json = @import("json.zig");
const memory = @import("memory.zig");

/// Memory until the end of the call.
pub const allocator = memory.allocator;
/// Memory until it is freed.
pub const gpa = memory.gpa;

/// A host for unit tests.
pub const testing = @import("testing.zig");

pub const plugin = exports.plugin;
pub const fail = failures.fail;
pub const Failed = failures.Failed;
/// The code and the message of an error that was caught.
pub const failureOf = failures.of;
pub const Raw = json.Raw;
pub const Json = std.json.Value;

pub const Session = host.Session;
pub const Member = host.Member;
pub const Server = host.Server;
pub const RouteKey = host.RouteKey;
pub const Channel = host.Channel;
pub const Key = host.Key;
pub const pushTo = host.pushTo;
pub const broadcast = host.broadcast;
pub const call = host.call;
pub const callServer = host.callServer;
pub const notify = host.notify;
pub const after = host.after;
pub const every = host.every;
pub const Timer = host.Timer;
pub const settings = host.settings;
pub const ownServer = host.ownServer;
pub const servers = host.servers;
pub const nowMs = host.nowMs;
pub const monotonicNs = host.monotonicNs;
pub const random = host.random;
pub const crc32 = host.crc32;
pub const pick = host.pick;
pub const log = host.log;

/// `std.log` goes to the server's log.
pub const std_options: std.Options = .{ .logFn = host.logFn };

/// A panic says why in the log, and ends the instance: no other call can be made in it.
pub const panic = std.debug.FullPanic(host.panicked);
