//! The program.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    provision::main().await
}
