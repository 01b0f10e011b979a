//! `libmesos.so` for the JVM: the native half of `org.apache.mesos.MesosSchedulerDriver`, over
//! Mesos' public v1 scheduler API.
//!
//! Spark loads it in the place of Apache Mesos' own library, which no package registry carries. It
//! keeps to the documented protocol (docs/scheduler-http-api.md and the `.proto` files of Mesos
//! 1.11.0), so it works with a real master as with the stand-in of `tests/standin`.
//! README.md beside this package says what it does not do.

pub mod detector;
pub mod driver;
pub mod http;
#[expect(clippy::needless_pass_by_value, reason = "native methods own their local references")]
mod java;
pub mod messages;

// The stand-in's ZooKeeper client and its reading of the masters' group.
#[expect(dead_code, reason = "masters also contend; a driver only looks")]
#[path = "../../standin/src/group.rs"]
mod group;
#[path = "../../standin/src/wire.rs"]
mod wire;
#[expect(dead_code, reason = "masters also write; a driver only reads")]
#[path = "../../standin/src/zk.rs"]
mod zk;

/// A line on standard error, where Mesos' own library logs too.
fn log(text: &str) {
    use std::io::Write;
    // Nowhere is left to tell that standard error is closed.
    let _ = writeln!(std::io::stderr(), "libmesos: {text}");
}
