//! A name server on loopback with the few records that a test gives it, over UDP and TCP (RFC 1035).
//!
//! Our own because tests need answers that a well-kept server does not give: a failure for one name, silence for another.
//! Names are compared without case; whatever has no record of any type does not exist (NXDOMAIN).

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::port;

/// One record of a zone. Lifetimes are zero, so that a test may change its mind.
#[derive(Clone, Debug)]
pub enum Record {
    /// An IPv4 address.
    A(Ipv4Addr),
    /// An IPv6 address.
    Aaaa(Ipv6Addr),
    /// A mail exchanger: preference and host.
    Mx(u16, &'static str),
    /// Not a record: every question about this name ends in SERVFAIL.
    Failure,
}

/// A running name server; it stops when dropped.
pub struct Dns {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    records: HashMap<String, Vec<Record>>,
    questions: Mutex<Vec<String>>,
    stopping: AtomicBool,
}

impl Dns {
    /// Starts a server that answers for `records`.
    pub fn start(records: &[(&str, Record)]) -> Dns {
        let mut by_name: HashMap<String, Vec<Record>> = HashMap::new();
        for (name, record) in records {
            by_name.entry(name.to_ascii_lowercase()).or_default().push(record.clone());
        }
        let shared =
            Arc::new(Shared { records: by_name, questions: Mutex::new(Vec::new()), stopping: AtomicBool::new(false) });
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port::free()));
        let udp = UdpSocket::bind(address).expect("a free port");
        udp.set_read_timeout(Some(Duration::from_millis(100))).expect("a timeout above zero");
        let tcp = TcpListener::bind(address).expect("a free port");
        std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || serve_udp(&udp, &shared)
        });
        std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || serve_tcp(&tcp, &shared)
        });
        Dns { address, shared }
    }

    /// Where it listens, UDP and TCP.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What was asked so far, as `name TYPE`.
    pub fn questions(&self) -> Vec<String> {
        self.shared.questions.lock().expect("no thread panics while it holds the lock").clone()
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
        // Wakes the thread that waits for connections.
        let _ = TcpStream::connect(self.address);
    }
}

fn serve_udp(socket: &UdpSocket, shared: &Shared) {
    let mut buffer = [0; 4096];
    while !shared.stopping.load(Ordering::Relaxed) {
        if let Ok((count, peer)) = socket.recv_from(&mut buffer)
            && let Some(answer) = shared.answer(&buffer[..count])
        {
            let _ = socket.send_to(&answer, peer);
        }
    }
}

fn serve_tcp(listener: &TcpListener, shared: &Shared) {
    for stream in listener.incoming() {
        if shared.stopping.load(Ordering::Relaxed) {
            return;
        }
        let Ok(mut stream) = stream else { continue };
        let mut length = [0; 2];
        while stream.read_exact(&mut length).is_ok() {
            let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
            if stream.read_exact(&mut question).is_err() {
                break;
            }
            let Some(answer) = shared.answer(&question) else { break };
            let length = u16::try_from(answer.len()).expect("a few records are short").to_be_bytes();
            if stream.write_all(&[&length[..], &answer].concat()).is_err() {
                break;
            }
        }
    }
}

const TYPE_A: u16 = 1;
const TYPE_MX: u16 = 15;
const TYPE_AAAA: u16 = 28;
const CLASS_IN: u16 = 1;
const SERVFAIL: u16 = 2;
const NXDOMAIN: u16 = 3;

impl Shared {
    /// The answer to one question message; `None` for bytes that are none.
    fn answer(&self, question: &[u8]) -> Option<Vec<u8>> {
        let (name, name_end) = read_name(question, 12)?;
        let number = |at: usize| Some(u16::from_be_bytes(question.get(at..at + 2)?.try_into().ok()?));
        let kind = number(name_end)?;
        let kind_name = match kind {
            TYPE_A => "A".to_owned(),
            TYPE_MX => "MX".to_owned(),
            TYPE_AAAA => "AAAA".to_owned(),
            other => other.to_string(),
        };
        self.questions.lock().expect("no thread panics while it holds the lock").push(format!("{name} {kind_name}"));

        let records = self.records.get(&name);
        let code = match records {
            None => NXDOMAIN,
            Some(records) if records.iter().any(|record| matches!(record, Record::Failure)) => SERVFAIL,
            Some(_) => 0,
        };
        let fitting: Vec<Vec<u8>> = records.into_iter().flatten().filter_map(|record| record.write(kind)).collect();
        let count = if code == 0 { u16::try_from(fitting.len()).ok()? } else { 0 };

        let mut answer = question.get(..2)?.to_vec();
        // Response, authoritative, recursion desired and available.
        answer.extend((0x8580 | code).to_be_bytes());
        for section_count in [1, count, 0, 0] {
            answer.extend(section_count.to_be_bytes());
        }
        answer.extend(question.get(12..name_end + 4)?);
        for content in fitting.iter().take(usize::from(count)) {
            // The name is the question's, at offset 12.
            answer.extend([0xC0, 12]);
            answer.extend(kind.to_be_bytes());
            answer.extend(CLASS_IN.to_be_bytes());
            answer.extend(0_u32.to_be_bytes());
            answer.extend(u16::try_from(content.len()).ok()?.to_be_bytes());
            answer.extend(content);
        }
        Some(answer)
    }
}

impl Record {
    /// The record's content, if the question's type asks for it.
    fn write(&self, kind: u16) -> Option<Vec<u8>> {
        match (self, kind) {
            (Record::A(address), TYPE_A) => Some(address.octets().to_vec()),
            (Record::Aaaa(address), TYPE_AAAA) => Some(address.octets().to_vec()),
            (Record::Mx(preference, host), TYPE_MX) => {
                let mut content = preference.to_be_bytes().to_vec();
                // The empty host is the root: a null MX (RFC 7505).
                for label in host.split('.').filter(|label| !label.is_empty()) {
                    content.push(u8::try_from(label.len()).expect("labels are short"));
                    content.extend(label.bytes());
                }
                content.push(0);
                Some(content)
            }
            _ => None,
        }
    }
}

/// The name at `at` in lower case, and where it ends. Questions are never compressed.
fn read_name(message: &[u8], mut at: usize) -> Option<(String, usize)> {
    let mut labels = Vec::new();
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1;
        if length == 0 {
            return Some((labels.join("."), at));
        }
        labels.push(String::from_utf8_lossy(message.get(at..at + length)?).to_ascii_lowercase());
        at += length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The answer's code, and the contents of its records.
    fn ask(dns: &Dns, name: &str, kind: u16) -> (u16, Vec<Vec<u8>>) {
        let mut question = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            question.push(u8::try_from(label.len()).expect("labels are short"));
            question.extend(label.bytes());
        }
        question.push(0);
        question.extend(kind.to_be_bytes());
        question.extend(CLASS_IN.to_be_bytes());
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        socket.send_to(&question, dns.address()).expect("send");
        let mut answer = [0; 512];
        let count = socket.recv(&mut answer).expect("an answer");
        let number = |at: usize| u16::from_be_bytes([answer[at], answer[at + 1]]);
        assert_eq!((answer[0], answer[1]), (0x12, 0x34), "the same question");
        let (mut at, mut contents) = (question.len(), Vec::new());
        while at < count {
            let length = usize::from(number(at + 10));
            contents.push(answer[at + 12..at + 12 + length].to_vec());
            at += 12 + length;
        }
        assert_eq!(contents.len(), usize::from(number(6)));
        (number(2) & 0xF, contents)
    }

    #[test]
    fn records_are_answered_by_name_and_type() {
        let dns = Dns::start(&[
            ("y.example", Record::Mx(10, "mx.y.example")),
            ("y.example", Record::A(Ipv4Addr::LOCALHOST)),
            ("broken.example", Record::Failure),
        ]);
        assert_eq!(ask(&dns, "Y.example", TYPE_MX), (0, vec![b"\x00\x0a\x02mx\x01y\x07example\x00".to_vec()]));
        assert_eq!(ask(&dns, "y.example", TYPE_A), (0, vec![vec![127, 0, 0, 1]]));
        assert_eq!(ask(&dns, "y.example", TYPE_AAAA), (0, vec![]));
        assert_eq!(ask(&dns, "x.example", TYPE_A), (NXDOMAIN, vec![]));
        assert_eq!(ask(&dns, "broken.example", TYPE_A), (SERVFAIL, vec![]));
        assert_eq!(dns.questions()[0], "y.example MX");
    }
}
