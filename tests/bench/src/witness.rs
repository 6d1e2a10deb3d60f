//! Takes the time of each runner's first request.
//!
//! By hand and not by a web server, and with a thread for each connection: it must take little of the CPU that fifty
//! runners want at the same moment.

use std::{
    collections::HashMap,
    io::{Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use anyhow::Context as _;
use tokio::{sync::Notify, time::Instant};

/// The header by which a runner says its name.
pub const RUNNER_HEADER: &str = "x-runner";
const ANSWER: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";

#[derive(Default)]
struct Book {
    firsts: Mutex<HashMap<String, Instant>>,
    changed: Notify,
}

/// An HTTP server that remembers when each runner first asked something of it.
pub struct Witness {
    address: SocketAddr,
    book: Arc<Book>,
}

impl Witness {
    pub fn listen(address: IpAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((address, 0))
            .with_context(|| format!("failed to listen on {address}: give --address"))?;
        let address = listener.local_addr()?;
        let book = Arc::new(Book::default());
        let taken = book.clone();
        thread::spawn(move || accept(&listener, &taken));
        Ok(Self { address, book })
    }

    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// The first requests of the runners whose name begins with `prefix`, when there are as many.
    pub async fn first_requests(&self, prefix: &str, runners: usize) -> Vec<Instant> {
        loop {
            let changed = self.book.changed.notified();
            let firsts = self.seen(prefix);
            if firsts.len() >= runners {
                return firsts;
            }
            changed.await;
        }
    }

    /// Those that came so far.
    pub fn seen(&self, prefix: &str) -> Vec<Instant> {
        let firsts = self.book.firsts.lock().unwrap_or_else(PoisonError::into_inner);
        firsts.iter().filter(|(name, _)| name.starts_with(prefix)).map(|(_, at)| *at).collect()
    }
}

fn accept(listener: &TcpListener, book: &Arc<Book>) {
    for stream in listener.incoming() {
        match stream {
            Ok(stream) => {
                let book = book.clone();
                // A connection that breaks off is the runner's end.
                thread::spawn(move || drop(answer(stream, &book)));
            }
            Err(error) => {
                eprintln!("the witness fails to accept a connection: {error}");
                thread::yield_now();
            }
        }
    }
}

fn answer(mut stream: TcpStream, book: &Book) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut received = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        let at = Instant::now();
        received.extend_from_slice(&buffer[..count]);
        // A GET has no body: each empty line ends a request.
        while let Some(end) = received.windows(4).position(|w| w == b"\r\n\r\n") {
            if let Some(name) = runner(&received[..end]) {
                book.firsts.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_insert(at);
                book.changed.notify_waiters();
            }
            received.drain(..end + 4);
            stream.write_all(ANSWER)?;
        }
    }
}

fn runner(head: &[u8]) -> Option<String> {
    let head = String::from_utf8_lossy(head);
    let mut headers = head.lines().filter_map(|line| line.split_once(':'));
    headers
        .find(|(name, _)| name.eq_ignore_ascii_case(RUNNER_HEADER))
        .map(|(_, value)| value.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_request_of_each_runner_counts() {
        let witness = Witness::listen(IpAddr::from([127, 0, 0, 1])).unwrap();
        let before = Instant::now();
        let mut stream = TcpStream::connect(witness.address).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nX-Runner: run-a-0\r\n\r\n").unwrap();
        let first = witness.first_requests("run-a-", 1).await;
        assert!(first[0] >= before);
        stream
            .write_all(
                b"GET / HTTP/1.1\r\nx-runner: run-a-0\r\n\r\nGET / HTTP/1.1\r\nx-runner: run-a-1\r\n\r\n",
            )
            .unwrap();
        let both = witness.first_requests("run-a-", 2).await;
        assert!(both.contains(&first[0]));
        assert!(witness.seen("run-b-").is_empty());
    }
}
