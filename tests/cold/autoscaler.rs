//! An autoscaler that hears wake-ups and does nothing else: it never asks a gateway for anything.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// One that listens. Dropped, it listens no more.
pub(super) struct Listening {
    pub(super) address: SocketAddr,
    woken: Arc<Mutex<BTreeMap<String, usize>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Listening {
    /// Listens, on a free port if there is none in the address.
    pub(super) fn at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let (woken, stop) = (Arc::<Mutex<BTreeMap<_, _>>>::default(), Arc::default());
        let (heard, stopped) = (Arc::clone(&woken), Arc::<AtomicBool>::clone(&stop));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                hear(&stream, &heard);
            }
        });
        Self { address, woken, stop, thread: Some(thread) }
    }

    /// How often it was told to wake this API.
    pub(super) fn woken(&self, api: &str) -> usize {
        self.woken.lock().unwrap().get(api).copied().unwrap_or(0)
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // So that it looks.
        drop(TcpStream::connect(self.address));
        self.thread.take().unwrap().join().unwrap();
    }
}

fn hear(mut stream: &TcpStream, woken: &Mutex<BTreeMap<String, usize>>) {
    let lines = BufReader::new(stream).lines().map_while(Result::ok);
    let head: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
    let Some(first) = head.first() else { return };
    let api = first.strip_prefix("POST /wake/").and_then(|rest| rest.split(' ').next());
    *woken.lock().unwrap().entry(api.unwrap_or(first).to_owned()).or_default() += 1;
    drop(stream.write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n"));
}
