;; The operating system of a Go component: what Go takes for WASI, made of what the host offers a plugin.
;;
;; Go's runtime reads clocks whenever it likes, in the middle of a collection of garbage too, and that can happen where a
;; component may not call out: while its arguments are stored, and after its answer was taken. So the SDK tells this module when
;; the host can be reached. Else the clock goes on by a microsecond with each look at it.
(module
  (import "env" "memory" (memory 0))
  (import "shaddock:plugin/app@0.1.0" "log" (func $log (param i32 i32 i32)))
  (import "shaddock:plugin/app@0.1.0" "now-ms" (func $now_ms (result i64)))
  (import "shaddock:plugin/app@0.1.0" "monotonic-ns" (func $monotonic_ns (result i64)))

  (global $reachable (mut i32) (i32.const 0))
  ;; Within a call of the host that stores what it gives back.
  (global $storing (mut i32) (i32.const 0))
  ;; The last time told, of either clock.
  (global $wall (mut i64) (i64.const 1000000000))
  (global $monotonic (mut i64) (i64.const 1000000000))
  ;; The line that is being written: the SDK's buffer, its size, and how much of it is used.
  (global $line (mut i32) (i32.const 0))
  (global $line_size (mut i32) (i32.const 0))
  (global $line_len (mut i32) (i32.const 0))
  ;; The state of the random numbers (xoshiro256++).
  (global $s0 (mut i64) (i64.const 0x9e3779b97f4a7c15))
  (global $s1 (mut i64) (i64.const 0xbf58476d1ce4e5b9))
  (global $s2 (mut i64) (i64.const 0x94d049bb133111eb))
  (global $s3 (mut i64) (i64.const 0x2545f4914f6cdd1d))

  ;; --- what the SDK calls ---

  ;; Whether clocks may be asked for from now on. What is left of a line is written.
  (func (export "shaddock_reachable") (param $reachable i32)
    (call $flush (i32.const 1))
    (global.set $reachable (local.get $reachable)))

  ;; Whether the host stores what it gives back, and can be called for nothing else meanwhile.
  (func (export "shaddock_storing") (param $storing i32)
    (global.set $storing (local.get $storing)))

  ;; Gives the buffer for a line.
  (func (export "shaddock_lines") (param $line i32) (param $size i32)
    (global.set $line (local.get $line))
    (global.set $line_size (local.get $size)))

  ;; Takes 32 random bytes for what `random_get` gives.
  (func (export "shaddock_seed") (param $at i32)
    (global.set $s0 (i64.load (local.get $at)))
    (global.set $s1 (i64.load offset=8 (local.get $at)))
    (global.set $s2 (i64.load offset=16 (local.get $at)))
    (global.set $s3 (i64.load offset=24 (local.get $at))))

  ;; Go's bindings say when they allocate. It is not all that there is to know, and not needed here.
  (func (export "adapter_monotonic_clock_set_paused") (param i32))

  ;; --- clocks ---

  (func $can_ask (result i32)
    (i32.and (global.get $reachable) (i32.eqz (global.get $storing))))

  (func $later (param $last i64) (param $told i64) (result i64)
    (if (result i64) (i64.gt_s (local.get $told) (local.get $last))
      (then (local.get $told))
      (else (i64.add (local.get $last) (i64.const 1000)))))

  (func (export "clock_time_get") (param $id i32) (param i64) (param $time i32) (result i32)
    (if (local.get $id)
      (then
        (global.set $monotonic (call $later (global.get $monotonic)
          (if (result i64) (call $can_ask) (then (call $monotonic_ns)) (else (i64.const 0)))))
        (i64.store (local.get $time) (global.get $monotonic)))
      (else
        (global.set $wall (call $later (global.get $wall)
          (if (result i64) (call $can_ask)
            (then (i64.mul (call $now_ms) (i64.const 1000000)))
            (else (i64.const 0)))))
        (i64.store (local.get $time) (global.get $wall))))
    (i32.const 0))

  ;; Nothing to wait for but time. Where the host can be reached whoever waits comes back until the clock says so; elsewhere
  ;; the clock is put there.
  (func (export "poll_oneoff") (param $in i32) (param $out i32) (param $count i32) (param $done i32) (result i32)
    (local $left i32)
    (local.set $left (local.get $count))
    (block $end
      (loop $next
        (br_if $end (i32.eqz (local.get $left)))
        (if (i32.and (i32.eqz (i32.load8_u offset=8 (local.get $in))) (i32.eqz (call $can_ask)))
          (then
            (global.set $monotonic
              (if (result i64) (i32.and (i32.load16_u offset=40 (local.get $in)) (i32.const 1))
                (then (call $later (global.get $monotonic) (i64.load offset=24 (local.get $in))))
                (else (i64.add (global.get $monotonic) (i64.load offset=24 (local.get $in))))))))
        (memory.fill (local.get $out) (i32.const 0) (i32.const 32))
        (i64.store (local.get $out) (i64.load (local.get $in)))
        (i32.store8 offset=10 (local.get $out) (i32.load8_u offset=8 (local.get $in)))
        (local.set $in (i32.add (local.get $in) (i32.const 48)))
        (local.set $out (i32.add (local.get $out) (i32.const 32)))
        (local.set $left (i32.sub (local.get $left) (i32.const 1)))
        (br $next)))
    (i32.store (local.get $done) (local.get $count))
    (i32.const 0))

  (func (export "sched_yield") (result i32) (i32.const 0))

  ;; --- random numbers ---

  (func $random (result i64)
    (local $given i64)
    (local $shifted i64)
    (local.set $given
      (i64.add (global.get $s0) (i64.rotl (i64.add (global.get $s0) (global.get $s3)) (i64.const 23))))
    (local.set $shifted (i64.shl (global.get $s1) (i64.const 17)))
    (global.set $s2 (i64.xor (global.get $s2) (global.get $s0)))
    (global.set $s3 (i64.xor (global.get $s3) (global.get $s1)))
    (global.set $s1 (i64.xor (global.get $s1) (global.get $s2)))
    (global.set $s0 (i64.xor (global.get $s0) (global.get $s3)))
    (global.set $s2 (i64.xor (global.get $s2) (local.get $shifted)))
    (global.set $s3 (i64.rotl (global.get $s3) (i64.const 45)))
    (local.get $given))

  (func (export "random_get") (param $at i32) (param $len i32) (result i32)
    (block $end
      (loop $next
        (br_if $end (i32.lt_u (local.get $len) (i32.const 8)))
        (i64.store (local.get $at) (call $random))
        (local.set $at (i32.add (local.get $at) (i32.const 8)))
        (local.set $len (i32.sub (local.get $len) (i32.const 8)))
        (br $next)))
    (block $end
      (loop $next
        (br_if $end (i32.eqz (local.get $len)))
        (i64.store8 (local.get $at) (call $random))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (local.set $len (i32.sub (local.get $len) (i32.const 1)))
        (br $next)))
    (i32.const 0))

  ;; --- standard output and error: the server's log ---

  ;; Whether there is a byte from `low` to `high` at `at`, before `end`.
  (func $within (param $at i32) (param $end i32) (param $low i32) (param $high i32) (result i32)
    (local $byte i32)
    (if (i32.ge_u (local.get $at) (local.get $end)) (then (return (i32.const 0))))
    (local.set $byte (i32.load8_u (local.get $at)))
    (i32.and (i32.ge_u (local.get $byte) (local.get $low)) (i32.le_u (local.get $byte) (local.get $high))))

  ;; How many bytes the character at `at` has in UTF-8; 0 if it is none.
  (func $char_len (param $at i32) (param $end i32) (result i32)
    (local $head i32)
    (local.set $head (i32.load8_u (local.get $at)))
    (if (i32.lt_u (local.get $head) (i32.const 0x80)) (then (return (i32.const 1))))
    (if (i32.or (i32.lt_u (local.get $head) (i32.const 0xc2)) (i32.gt_u (local.get $head) (i32.const 0xf4)))
      (then (return (i32.const 0))))
    ;; The second byte has bounds of its own after four of the heads.
    (if (i32.eqz (call $within (i32.add (local.get $at) (i32.const 1)) (local.get $end)
          (if (result i32) (i32.eq (local.get $head) (i32.const 0xe0)) (then (i32.const 0xa0))
            (else (if (result i32) (i32.eq (local.get $head) (i32.const 0xf0)) (then (i32.const 0x90)) (else (i32.const 0x80)))))
          (if (result i32) (i32.eq (local.get $head) (i32.const 0xed)) (then (i32.const 0x9f))
            (else (if (result i32) (i32.eq (local.get $head) (i32.const 0xf4)) (then (i32.const 0x8f)) (else (i32.const 0xbf)))))))
      (then (return (i32.const 0))))
    (if (i32.lt_u (local.get $head) (i32.const 0xe0)) (then (return (i32.const 2))))
    (if (i32.eqz (call $within (i32.add (local.get $at) (i32.const 2)) (local.get $end) (i32.const 0x80) (i32.const 0xbf)))
      (then (return (i32.const 0))))
    (if (i32.lt_u (local.get $head) (i32.const 0xf0)) (then (return (i32.const 3))))
    (select (i32.const 4) (i32.const 0)
      (call $within (i32.add (local.get $at) (i32.const 3)) (local.get $end) (i32.const 0x80) (i32.const 0xbf))))

  ;; Writes the line that has begun. A byte that belongs to no character becomes a question mark.
  (func $flush (param $level i32)
    (local $at i32)
    (local $end i32)
    (local $len i32)
    (if (i32.eqz (global.get $line_len)) (then (return)))
    (local.set $at (global.get $line))
    (local.set $end (i32.add (global.get $line) (global.get $line_len)))
    (block $whole
      (loop $next
        (br_if $whole (i32.ge_u (local.get $at) (local.get $end)))
        (local.set $len (call $char_len (local.get $at) (local.get $end)))
        (if (i32.eqz (local.get $len))
          (then
            (i32.store8 (local.get $at) (i32.const 63))
            (local.set $len (i32.const 1))))
        (local.set $at (i32.add (local.get $at) (local.get $len)))
        (br $next)))
    (call $log (local.get $level) (global.get $line) (global.get $line_len))
    (global.set $line_len (i32.const 0)))

  (func $put (param $byte i32) (param $level i32)
    (if (i32.and (global.get $storing) (i32.ge_u (global.get $line_len) (global.get $line_size))) (then (return)))
    (if (i32.and (i32.eq (local.get $byte) (i32.const 10)) (i32.eqz (global.get $storing)))
      (then (call $flush (local.get $level)) (return)))
    (if (i32.ge_u (global.get $line_len) (global.get $line_size))
      (then
        (call $flush (local.get $level))
        (if (i32.eqz (global.get $line_size)) (then (return)))))
    (i32.store8 (i32.add (global.get $line) (global.get $line_len)) (local.get $byte))
    (global.set $line_len (i32.add (global.get $line_len) (i32.const 1))))

  ;; Standard output has the level info, standard error warn.
  (func (export "fd_write") (param $fd i32) (param $parts i32) (param $count i32) (param $written i32) (result i32)
    (local $at i32)
    (local $left i32)
    (local $sum i32)
    (block $end
      (loop $part
        (br_if $end (i32.eqz (local.get $count)))
        (local.set $at (i32.load (local.get $parts)))
        (local.set $left (i32.load offset=4 (local.get $parts)))
        (local.set $sum (i32.add (local.get $sum) (local.get $left)))
        (block $whole
          (loop $byte
            (br_if $whole (i32.eqz (local.get $left)))
            (call $put (i32.load8_u (local.get $at)) (local.get $fd))
            (local.set $at (i32.add (local.get $at) (i32.const 1)))
            (local.set $left (i32.sub (local.get $left) (i32.const 1)))
            (br $byte)))
        (local.set $parts (i32.add (local.get $parts) (i32.const 8)))
        (local.set $count (i32.sub (local.get $count) (i32.const 1)))
        (br $part)))
    (i32.store (local.get $written) (local.get $sum))
    (i32.const 0))

  (func (export "proc_exit") (param i32)
    (call $flush (i32.const 2))
    (unreachable))

  ;; --- no arguments, no environment, no files ---

  (func $none (param $count i32) (param $size i32) (result i32)
    (i32.store (local.get $count) (i32.const 0))
    (i32.store (local.get $size) (i32.const 0))
    (i32.const 0))
  (func (export "args_sizes_get") (param i32 i32) (result i32) (call $none (local.get 0) (local.get 1)))
  (func (export "environ_sizes_get") (param i32 i32) (result i32) (call $none (local.get 0) (local.get 1)))
  (func (export "args_get") (param i32 i32) (result i32) (i32.const 0))
  (func (export "environ_get") (param i32 i32) (result i32) (i32.const 0))

  ;; 8 is EBADF. The standard streams are character devices.
  (func (export "fd_fdstat_get") (param $fd i32) (param $stat i32) (result i32)
    (if (i32.gt_u (local.get $fd) (i32.const 2)) (then (return (i32.const 8))))
    (memory.fill (local.get $stat) (i32.const 0) (i32.const 24))
    (i32.store8 (local.get $stat) (i32.const 2))
    (i32.const 0))
  (func (export "fd_fdstat_set_flags") (param i32 i32) (result i32) (i32.const 0))
  (func (export "fd_read") (param i32 i32 i32 i32) (result i32) (i32.const 8))
  (func (export "fd_close") (param i32) (result i32) (i32.const 8))
  (func (export "fd_seek") (param i32 i64 i32 i32) (result i32) (i32.const 8))
  (func (export "fd_prestat_get") (param i32 i32) (result i32) (i32.const 8))
  (func (export "fd_prestat_dir_name") (param i32 i32 i32) (result i32) (i32.const 8))
  (func (export "fd_filestat_get") (param i32 i32) (result i32) (i32.const 8))
  (func (export "fd_filestat_set_size") (param i32 i64) (result i32) (i32.const 8))
  (func (export "fd_fdstat_set_rights") (param i32 i64 i64) (result i32) (i32.const 8))
  (func (export "fd_pread") (param i32 i32 i32 i64 i32) (result i32) (i32.const 8))
  (func (export "fd_pwrite") (param i32 i32 i32 i64 i32) (result i32) (i32.const 8))
  (func (export "fd_readdir") (param i32 i32 i32 i64 i32) (result i32) (i32.const 8))
  (func (export "fd_sync") (param i32) (result i32) (i32.const 8))
  (func (export "path_create_directory") (param i32 i32 i32) (result i32) (i32.const 8))
  (func (export "path_filestat_get") (param i32 i32 i32 i32 i32) (result i32) (i32.const 8))
  (func (export "path_filestat_set_times") (param i32 i32 i32 i32 i64 i64 i32) (result i32) (i32.const 8))
  (func (export "path_link") (param i32 i32 i32 i32 i32 i32 i32) (result i32) (i32.const 8))
  (func (export "path_open") (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32) (i32.const 8))
  (func (export "path_readlink") (param i32 i32 i32 i32 i32 i32) (result i32) (i32.const 8))
  (func (export "path_remove_directory") (param i32 i32 i32) (result i32) (i32.const 8))
  (func (export "path_rename") (param i32 i32 i32 i32 i32 i32) (result i32) (i32.const 8))
  (func (export "path_symlink") (param i32 i32 i32 i32 i32) (result i32) (i32.const 8))
  (func (export "path_unlink_file") (param i32 i32 i32) (result i32) (i32.const 8))
  (func (export "sock_accept") (param i32 i32 i32) (result i32) (i32.const 8))
  (func (export "sock_shutdown") (param i32 i32) (result i32) (i32.const 8)))
