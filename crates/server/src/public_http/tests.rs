use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use http::{Method, StatusCode};
use http_body_util::{BodyExt as _, Full};

use super::*;

const GRACE: Duration = Duration::from_secs(2);

/// Reads a body to its end and says `GET` or `POST` with a status of its own.
#[derive(Clone)]
struct Echo;

impl Respond for Echo {
    type Body = Full<Bytes>;

    async fn respond(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let status = match *request.method() {
            Method::POST => StatusCode::CREATED,
            _ => StatusCode::OK,
        };
        let read = request.into_body().collect().await.unwrap();
        let mut response = Response::new(Full::new(read.to_bytes()));
        *response.status_mut() = status;
        response
    }
}

struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let server = Self {
            address: listener.local_addr().unwrap(),
            stop: stop.clone(),
            tasks: tasks.clone(),
        };
        let stop = Stop {
            when: stop,
            grace: GRACE,
        };
        tasks.spawn(serve(listener, None, Echo, stop));
        tasks.close();
        server
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// A connection whose request is dealt with, and wants a body of two bytes.
    async fn begin(&self) -> TcpStream {
        let mut socket = self.connect().await;
        let request =
            b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n";
        socket.write_all(request).await.unwrap();
        let goes_on = head(&mut socket).await.unwrap();
        assert!(goes_on.starts_with("HTTP/1.1 100"), "{goes_on}");
        socket
    }
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";

/// The head of an answer without a body; `None` if the peer closed instead.
async fn head(socket: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.ok()?);
    }
    Some(String::from_utf8(head).unwrap())
}

/// What comes until the peer closes.
async fn rest(mut socket: TcpStream) -> String {
    let mut text = Vec::new();
    // A reset is an end as well.
    let _ = socket.read_to_end(&mut text).await;
    String::from_utf8(text).unwrap()
}

#[tokio::test(start_paused = true)]
async fn who_sends_no_headers_is_cut_off() {
    let server = Server::start().await;
    for beginning in ["", "POST / HTTP/1.1\r\nhost: x\r\n"] {
        let mut socket = server.connect().await;
        socket.write_all(beginning.as_bytes()).await.unwrap();
        let began = tokio::time::Instant::now();
        rest(socket).await;
        assert!(
            began.elapsed() <= HEADERS + Duration::from_secs(1),
            "{beginning}"
        );
    }
}

/// In real time, so that it is not the patience for headers that ends it.
#[tokio::test]
async fn who_sends_headers_without_end_is_refused_before_they_are_late() {
    let server = Server::start().await;
    let mut socket = server.connect().await;
    let began = std::time::Instant::now();
    let lots = format!("POST / HTTP/1.1\r\nx: {}\r\n", "a".repeat(2 * HEADER_BYTES));
    // It may be closed while it is still being written to.
    let _ = socket.write_all(lots.as_bytes()).await;
    let answer = rest(socket).await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 431"),
        "{answer}"
    );
    assert!(began.elapsed() < HEADERS, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn who_comes_when_all_places_are_taken_waits_for_one() {
    let server = Server::start().await;
    let began = tokio::time::Instant::now();
    let mut holders = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut holder = server.connect().await;
        holder.write_all(GET).await.unwrap();
        assert!(head(&mut holder).await.is_some());
        holders.push(holder);
    }
    assert!(began.elapsed() < HEADERS, "and all of them are still open");
    let mut late = server.connect().await;
    late.write_all(GET).await.unwrap();
    assert!(head(&mut late).await.is_some());
    let waited = began.elapsed();
    assert!(waited >= HEADERS, "until one was cut off: {waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_never_idle_ends_in_its_time_between_two_requests() {
    let server = Server::start().await;
    let mut socket = server.connect().await;
    let began = tokio::time::Instant::now();
    while socket.write_all(GET).await.is_ok() {
        let Some(head) = head(&mut socket).await else {
            break;
        };
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        sleep(Duration::from_secs(1)).await;
    }
    let lived = began.elapsed();
    let longest = LONGEST_CONNECTION + Duration::from_secs(2);
    assert!((LONGEST_CONNECTION..=longest).contains(&lived), "{lived:?}");
}

#[tokio::test]
async fn several_requests_of_one_connection_are_answered() {
    let server = Server::start().await;
    let mut socket = server.connect().await;
    let twice =
        "GET / HTTP/1.1\r\nhost: x\r\n\r\nPOST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    socket.write_all(twice.as_bytes()).await.unwrap();
    let answers = rest(socket).await;
    assert!(answers.starts_with("HTTP/1.1 200"), "{answers}");
    assert!(answers.contains("HTTP/1.1 201"), "{answers}");
}

#[tokio::test]
async fn what_was_begun_is_answered_after_the_stop_and_nothing_new_is_taken() {
    let server = Server::start().await;
    let mut begun = server.begin().await;
    server.stop.cancel();
    begun.write_all(b"{}").await.unwrap();
    let answer = rest(begun).await;
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    server.tasks.wait().await;
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn who_does_not_end_a_request_does_not_hold_up_the_stop() {
    let server = Server::start().await;
    let mut socket = server.begin().await;
    socket.write_all(b"{").await.unwrap();
    server.stop.cancel();
    let began = tokio::time::Instant::now();
    server.tasks.wait().await;
    let held_up = began.elapsed();
    let longest = GRACE + Duration::from_secs(1);
    assert!((GRACE..=longest).contains(&held_up), "{held_up:?}");
}

#[tokio::test(start_paused = true)]
async fn who_has_no_request_is_closed_at_the_stop() {
    let server = Server::start().await;
    let mut socket = server.connect().await;
    socket.write_all(GET).await.unwrap();
    assert!(head(&mut socket).await.is_some());
    server.stop.cancel();
    let began = tokio::time::Instant::now();
    assert_eq!(rest(socket).await, "");
    server.tasks.wait().await;
    assert!(began.elapsed() < GRACE, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn who_takes_no_answers_is_cut_off() {
    let server = Server::start().await;
    let mut socket = server.connect().await;
    let began = tokio::time::Instant::now();
    let request = "GET / HTTP/1.1\r\nhost: x\r\n\r\n".repeat(1_000);
    // Until nothing more fits, since nobody reads the answers, and then until it fails.
    while socket.write_all(request.as_bytes()).await.is_ok() {}
    let longest = LONGEST_CONNECTION + LAST_REQUEST + Duration::from_secs(1);
    assert!(began.elapsed() <= longest, "{:?}", began.elapsed());
}
