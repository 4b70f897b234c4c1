//! One connection through the proxy.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;
use tokio::time::Instant;

use super::{Direction, Faults};

const CHUNK_BYTES: usize = 16 * 1024;
/// How many chunks are on their way at most; beyond that the sender feels the back-pressure.
const CHUNKS_UNDERWAY: usize = 64;

/// A client's connection and the one to the server.
pub struct Connection;

impl Connection {
    /// Carries bytes until both sides have ended, or one is broken or reset. Dropping the future resets both.
    pub async fn serve(client: TcpStream, server: SocketAddr, faults: watch::Receiver<Faults>) {
        let Ok(server) = TcpStream::connect(server).await else {
            // The client sees a broken connection, as if nobody listened.
            reset(&client);
            return;
        };
        let (mut client, mut server) = (client, server);
        if Self::carry(&mut client, &mut server, faults).await.is_err() {
            reset(&client);
            reset(&server);
        }
    }

    async fn carry(
        client: &mut TcpStream,
        server: &mut TcpStream,
        mut faults: watch::Receiver<Faults>,
    ) -> io::Result<()> {
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let resets = faults.borrow().resets;
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let there = pump(Direction::ToServer, from_client, to_server, faults.clone());
        let back = pump(Direction::ToClient, from_server, to_client, faults.clone());
        tokio::select! {
            carried = async { tokio::try_join!(there, back) } => carried.map(|_| ()),
            _ = faults.wait_for(|faults| faults.resets > resets) => Err(broken()),
        }
    }
}

/// What was read and when it may arrive. An empty one is the end of the stream.
struct Chunk {
    bytes: Vec<u8>,
    due: Instant,
}

/// Carries the bytes of one direction to its end.
async fn pump(
    direction: Direction,
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut faults: watch::Receiver<Faults>,
) -> io::Result<()> {
    let mut underway: VecDeque<Chunk> = VecDeque::new();
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut ended = false;
    while !ended || !underway.is_empty() {
        let (latency, held) = {
            let faults = faults.borrow_and_update();
            let fault = faults.of(direction);
            (fault.latency, fault.held)
        };
        let due = underway.front().map(|chunk| chunk.due);
        let arrival = async {
            match due {
                Some(due) if !held => tokio::time::sleep_until(due).await,
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            // Whether a fault has come is asked first, so that nothing slips by after a test has set one.
            biased;
            changed = faults.changed() => changed.map_err(|_| broken())?,
            () = arrival => {
                let chunk = underway.pop_front().expect("a chunk is due");
                write(&mut to, &chunk.bytes, &faults, direction).await?;
            }
            read = from.read(&mut buffer), if !ended && underway.len() < CHUNKS_UNDERWAY => {
                let length = read?;
                ended = length == 0;
                underway.push_back(Chunk {
                    bytes: buffer[..length].to_vec(),
                    due: Instant::now() + latency,
                });
            }
        }
    }
    Ok(())
}

/// Writes as many of `bytes` as may pass, and fails if that is not all of them.
async fn write(
    to: &mut WriteHalf<'_>,
    bytes: &[u8],
    faults: &watch::Receiver<Faults>,
    direction: Direction,
) -> io::Result<()> {
    if bytes.is_empty() {
        return to.shutdown().await;
    }
    let budget = faults.borrow().of(direction).budget.clone();
    let passing = budget.map_or(bytes.len(), |budget| spend(&budget, bytes.len()));
    to.write_all(&bytes[..passing]).await?;
    if passing < bytes.len() {
        return Err(broken());
    }
    Ok(())
}

/// Takes up to `wanted` from the budget.
fn spend(budget: &AtomicU64, wanted: usize) -> usize {
    let wanted = wanted as u64;
    let before = budget
        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
            Some(left.saturating_sub(wanted))
        })
        .expect("the update is never refused");
    usize::try_from(before.min(wanted)).expect("it is not more than was wanted")
}

fn reset(stream: &TcpStream) {
    // Closing then sends a RST; if it cannot be set, the connection is broken already.
    let _ = stream.set_zero_linger();
}

fn broken() -> io::Error {
    io::Error::from(io::ErrorKind::ConnectionReset)
}
