//! One file per command: its arguments and its run.

pub mod apply;
pub mod check;
pub mod findings;
pub mod history;
pub mod lab;
pub mod locks;
pub mod plan;
pub mod saved;
pub mod session;
pub mod status;
pub mod unlock;
