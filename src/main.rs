//! Evergrant: arguments in, exit code out. See the README.

use std::process::ExitCode;

use evergrant_server::Build;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    evergrant_server::run(Build {
        version: env!("CARGO_PKG_VERSION"),
        revision: env!("EVERGRANT_REVISION"),
        profile: env!("EVERGRANT_PROFILE"),
    })
}
