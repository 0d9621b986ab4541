//! A small HTTP server that keeps what is posted to it.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use gatepost_testkit::wait;

/// What was posted.
#[derive(Clone, Debug)]
pub struct Request {
    pub path: String,
    fields: HashMap<String, String>,
    pub body: Vec<u8>,
}

impl Request {
    /// A header field, by its name in lower case.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }
}

#[derive(Default)]
struct Kept {
    requests: Vec<Request>,
    /// So many of the next requests are answered with 503.
    to_refuse: usize,
    is_over: bool,
}

/// Answers 200 to whatever is posted, until it is dropped.
pub struct HttpListener {
    address: SocketAddr,
    kept: Arc<Mutex<Kept>>,
}

impl HttpListener {
    pub fn start() -> HttpListener {
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = socket.local_addr().expect("it is bound");
        let kept = Arc::new(Mutex::new(Kept::default()));
        let keeping = kept.clone();
        thread::spawn(move || {
            for stream in socket.incoming() {
                if keeping.lock().unwrap_or_else(PoisonError::into_inner).is_over {
                    return;
                }
                // Whoever hangs up in the middle has posted nothing.
                let _ = stream.and_then(|stream| serve(stream, &keeping));
            }
        });
        HttpListener { address, kept }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The next requests are answered with 503.
    pub fn refuse(&self, count: usize) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).to_refuse = count;
    }

    pub fn requests(&self) -> Vec<Request> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).requests.clone()
    }

    /// Waits for a request that fits.
    #[track_caller]
    pub fn wait_for(&self, what: &str, fits: impl Fn(&Request) -> bool) -> Request {
        let found = wait::within(wait::PATIENCE, || self.requests().into_iter().find(|request| fits(request)));
        found.unwrap_or_else(|| {
            let paths: Vec<String> = self.requests().into_iter().map(|request| request.path).collect();
            panic!("never posted: {what}; posted were {paths:?}")
        })
    }
}

impl Drop for HttpListener {
    fn drop(&mut self) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).is_over = true;
        // Wakes it, so that the port is free.
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(mut stream: TcpStream, kept: &Mutex<Kept>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut fields = HashMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        fields.insert(name.to_lowercase(), value.trim().to_owned());
    }
    let length = fields.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    let refuses = kept.to_refuse > 0;
    kept.to_refuse -= usize::from(refuses);
    let answer = if refuses { "503 Busy" } else { "200 OK" };
    if !refuses {
        kept.requests.push(Request { path, fields, body });
    }
    drop(kept);
    write!(stream, "HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
}
