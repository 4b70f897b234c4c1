//! Free ports for programs that cannot be told to choose one.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::Result;

/// How often to try another port when someone else took the one that was free a moment ago.
pub const ATTEMPTS: u32 = 3;

/// A port of 127.0.0.1 on which nobody listens now.
pub fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}
