//! What a server says first shows whether it speaks what is expected of it. If it does not, the error names the likely
//! mistake: the transport's own words are "broken pipe".

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tower::Service;

/// What a server is expected to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    Tls,
    /// gRPC over plaintext.
    Http2,
}

/// What came of the first words: nothing, or what is wrong with the server.
pub(super) type Verdict = Result<(), &'static str>;

/// What connects, and what comes of the first words of the first connection.
pub(super) fn connector(
    expected: Expected,
) -> (
    impl Service<Uri, Response = TokioIo<Listening>, Error = io::Error, Future: Send> + Send,
    oneshot::Receiver<Verdict>,
) {
    let (tell, told) = oneshot::channel();
    let mut tell = Some(tell);
    let connector = tower::service_fn(move |uri: Uri| {
        let told = tell.take();
        async move {
            let host = uri.host().unwrap_or_default();
            let host = host.trim_start_matches('[').trim_end_matches(']');
            let port = uri.port_u16().unwrap_or(match expected {
                Expected::Tls => 443,
                Expected::Http2 => 80,
            });
            let socket = TcpStream::connect((host, port)).await?;
            socket.set_nodelay(true)?;
            Ok(TokioIo::new(Listening {
                socket,
                expected,
                is_heard: false,
                told,
            }))
        }
    });
    (connector, told)
}

/// A connection whose first words are listened to.
pub(super) struct Listening {
    socket: TcpStream,
    expected: Expected,
    /// Whether it was as expected.
    is_heard: bool,
    told: Option<oneshot::Sender<Verdict>>,
}

impl Listening {
    fn hear(&mut self, bytes: &[u8]) -> io::Result<()> {
        let verdict = judge(self.expected, bytes);
        self.is_heard = verdict.is_ok();
        if let Some(told) = self.told.take() {
            // Whoever asked may have gone on.
            let _unheard = told.send(verdict);
        }
        verdict.map_err(|why| io::Error::new(ErrorKind::InvalidData, why))
    }

    /// Somebody who breaks off may have said why, which is still to be read.
    fn why_broken(&mut self, context: &mut Context<'_>, error: io::Error) -> Poll<io::Error> {
        let is_broken = matches!(
            error.kind(),
            ErrorKind::BrokenPipe | ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted
        );
        if self.is_heard || !is_broken {
            return Poll::Ready(error);
        }
        let mut space = [0; 1];
        let mut words = ReadBuf::new(&mut space);
        // What is broken can be read to its end.
        let _unread = ready!(Pin::new(&mut self.socket).poll_read(context, &mut words));
        Poll::Ready(self.hear(words.filled()).err().unwrap_or(error))
    }
}

/// Decides by the first byte. None: the server broke off.
fn judge(expected: Expected, bytes: &[u8]) -> Verdict {
    // RFC 8446 section 5.1: types of records. A frame of HTTP/2 that began so would be far too long.
    const RECORD: std::ops::RangeInclusive<u8> = 20..=23;
    match (expected, bytes.first()) {
        (Expected::Tls, Some(first)) if RECORD.contains(first) => Ok(()),
        (Expected::Tls, Some(_)) => Err("it does not speak TLS: the URL must begin with http://, \
                                        or another port is meant"),
        (Expected::Tls, None) => Err(
            "it broke off the TLS handshake without a word: does it speak TLS on this \
                                      port?",
        ),
        (Expected::Http2, Some(first)) if RECORD.contains(first) => {
            Err("it speaks TLS: the URL must begin with https://")
        }
        (Expected::Http2, Some(b'H')) => Err(
            "it speaks HTTP/1.1 and no gRPC: is this its gRPC port, and not \
                                              the one for metrics or webhooks?",
        ),
        (Expected::Http2, Some(_)) => Ok(()),
        (Expected::Http2, None) => Err(
            "it closed the connection without a word: if it speaks TLS, the URL must \
                                        begin with https://",
        ),
    }
}

impl AsyncRead for Listening {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_heard {
            return Pin::new(&mut self.socket).poll_read(context, buffer);
        }
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut self.socket).poll_read(context, buffer));
        Poll::Ready(match read {
            Ok(()) => self.hear(&buffer.filled()[before..]),
            Err(error) => Err(ready!(self.why_broken(context, error))),
        })
    }
}

impl AsyncWrite for Listening {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match ready!(Pin::new(&mut self.socket).poll_write(context, bytes)) {
            Err(error) => self.why_broken(context, error).map(Err),
            written => Poll::Ready(written),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}
