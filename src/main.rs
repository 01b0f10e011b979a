//! The program.

use std::process::ExitCode;

fn main() -> ExitCode {
    // A shell that asks is answered before there is more than one thread.
    if let Some(code) = provision::completed() {
        return code;
    }
    match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime.block_on(provision::main()),
        Err(_) => ExitCode::FAILURE,
    }
}
