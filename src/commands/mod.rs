//! One file per command: its arguments and its run.

pub mod apply;
pub mod check;
pub mod completions;
pub mod findings;
pub mod history;
pub mod init;
pub mod inventory;
pub mod lab;
pub mod locks;
pub mod logs;
pub mod man;
pub mod plan;
pub mod render;
mod rotation;
pub mod saved;
pub mod schema;
pub mod session;
pub mod simulate;
pub mod smoke;
pub mod ssh;
pub mod status;
pub mod unlock;
