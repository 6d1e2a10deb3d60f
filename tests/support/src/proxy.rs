//! A door to Prometheus that a test can shut: for the pods it is dead then, and comes back with all that it knew.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// Forwards connections while it is open. Shut, it ends those there are and refuses others.
pub struct Proxy {
    pub address: SocketAddr,
    open: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Listens on this machine's address, as the pods reach it.
    ///
    /// # Panics
    /// When it cannot.
    pub async fn listen(at: std::net::IpAddr, target: SocketAddr) -> Self {
        let listener = TcpListener::bind((at, 0)).await;
        let listener = listener.unwrap_or_else(|error| panic!("failed to listen on {at}: {error}"));
        let address = listener.local_addr().unwrap_or_else(|error| panic!("no address: {error}"));
        let (open, opened) = watch::channel(true);
        let task = tokio::spawn(serve(listener, address, target, opened));
        Self { address, open, task }
    }

    /// Shuts it for a time.
    pub async fn shut(&self, time: Duration) {
        self.open.send_replace(false);
        tokio::time::sleep(time).await;
        self.open.send_replace(true);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    mut listener: TcpListener,
    address: SocketAddr,
    target: SocketAddr,
    mut open: watch::Receiver<bool>,
) {
    loop {
        let shut = async {
            let mut open = open.clone();
            open.wait_for(|open| !open).await.is_ok()
        };
        tokio::select! {
            Ok((stream, _)) = listener.accept() => {
                tokio::spawn(forward(stream, target, open.clone()));
                continue;
            }
            true = shut => {}
            else => return,
        }
        drop(listener);
        if open.wait_for(|open| *open).await.is_err() {
            return;
        }
        // The port is ours: nobody else knows of it.
        listener = loop {
            match TcpListener::bind(address).await {
                Ok(listener) => break listener,
                Err(_) => tokio::task::yield_now().await,
            }
        };
    }
}

async fn forward(mut from: TcpStream, target: SocketAddr, mut open: watch::Receiver<bool>) {
    let Ok(mut to) = TcpStream::connect(target).await else { return };
    tokio::select! {
        // However it ends, it is over.
        _ = copy_bidirectional(&mut from, &mut to) => {}
        _ = open.wait_for(|open| !open) => {}
    }
}
