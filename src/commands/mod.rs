//! One file per command: its arguments and its run.

pub mod apply;
pub mod check;
pub mod findings;
pub mod init;
pub mod lab;
pub mod plan;
pub mod render;
pub mod schema;
pub mod session;
pub mod simulate;
pub mod status;
