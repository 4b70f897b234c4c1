//! What Evergrant costs beside the least that could answer: a bare tonic server in a process of its own, in the same run,
//! over the same kind of connections, with the same bytes.
//!
//! ```sh
//! cargo bench --bench beside_bare_tonic             # everything
//! cargo bench --bench beside_bare_tonic -- hot_path # or fan_out
//! ```
//!
//! Linux only: the processor time and the memory of the servers are read from `/proc`.

mod bare;
mod fan_out;
mod figures;
mod hot_path;
mod server;

use anyhow::{Result, bail};

/// Makes this program the bare server.
const BARE: &str = "--bare-server";

#[tokio::main]
async fn main() -> Result<()> {
    // Cargo adds `--bench` to the arguments.
    let wanted: Vec<_> = std::env::args()
        .skip(1)
        .filter(|word| word != "--bench")
        .collect();
    match wanted.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [BARE] => bare::serve().await,
        [] => {
            hot_path::run().await?;
            fan_out::run().await
        }
        ["hot_path"] => hot_path::run().await,
        ["fan_out"] => fan_out::run().await,
        _ => bail!("give hot_path or fan_out, or nothing for both"),
    }
}
