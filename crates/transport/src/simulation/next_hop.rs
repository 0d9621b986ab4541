//! A host that mail goes to: takes it, refuses it, or has a mishap, and writes into the ledger what it took.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream};

use super::world::{Mishap, World};

/// Serves one connection until it ends.
pub async fn serve(world: Arc<World>, stream: DuplexStream, host: IpAddr) {
    let mut peer = Peer { world, stream: BufReader::new(stream), place: host.to_string(), recipients: Vec::new() };
    // An error is the end of the connection, as it is for a real one.
    let _ = peer.converse().await;
}

struct Peer {
    world: Arc<World>,
    stream: BufReader<DuplexStream>,
    place: String,
    recipients: Vec<String>,
}

/// The connection is over.
struct Over;

impl From<std::io::Error> for Over {
    fn from(_: std::io::Error) -> Over {
        Over
    }
}

impl Peer {
    async fn converse(&mut self) -> Result<(), Over> {
        self.say("220 a next hop").await?;
        loop {
            let line = self.line().await?;
            let verb = line.get(..4).unwrap_or(&line).to_ascii_uppercase();
            match &*verb {
                "EHLO" if self.place.ends_with('2') => self.say("250 a next hop of few words").await?,
                "EHLO" => self.say("250-a next hop\r\n250-PIPELINING\r\n250-DSN\r\n250 SIZE").await?,
                "MAIL" => {
                    self.recipients.clear();
                    self.say("250 2.1.0 yes").await?;
                }
                "RCPT" => self.recipient(&line).await?,
                "DATA" if self.recipients.is_empty() => self.say("554 5.5.1 nobody").await?,
                "DATA" => self.content().await?,
                "QUIT" => {
                    self.say("221 2.0.0 goodbye").await?;
                    return Ok(());
                }
                _ => {
                    self.recipients.clear();
                    self.say("250 2.0.0 if you like").await?;
                }
            }
        }
    }

    async fn line(&mut self) -> Result<String, Over> {
        let mut line = String::new();
        match self.stream.read_line(&mut line).await? {
            0 => Err(Over),
            _ => Ok(line.trim_end().to_owned()),
        }
    }

    /// Says something, unless there is a mishap.
    async fn say(&mut self, reply: &str) -> Result<(), Over> {
        match self.world.mishap(false) {
            Some(mishap) => self.stumble(mishap, reply).await,
            None => self.write(reply).await,
        }
    }

    async fn stumble(&mut self, mishap: Mishap, reply: &str) -> Result<(), Over> {
        match mishap {
            Mishap::Later => self.write("421 4.3.2 not now").await.and(Err(Over)),
            Mishap::Close | Mishap::TakeAndClose => Err(Over),
            Mishap::Silence | Mishap::TakeAndSilence => self.fall_silent().await,
            Mishap::Slow(time) => {
                tokio::time::sleep(time).await;
                self.write(reply).await
            }
        }
    }

    /// Says nothing until the other side has had enough.
    async fn fall_silent(&mut self) -> Result<(), Over> {
        let mut ignored = Vec::new();
        let _ = self.stream.read_to_end(&mut ignored).await;
        Err(Over)
    }

    async fn write(&mut self, reply: &str) -> Result<(), Over> {
        self.stream.write_all(reply.as_bytes()).await?;
        self.stream.write_all(b"\r\n").await?;
        Ok(self.stream.flush().await?)
    }

    async fn recipient(&mut self, line: &str) -> Result<(), Over> {
        let address =
            line.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map_or("", |(address, _)| address);
        if address.starts_with("no") {
            return self.say("550 5.1.1 nobody of that name").await;
        }
        if address.starts_with("later") {
            return self.say("450 4.2.1 not today").await;
        }
        match self.world.mishap(false) {
            Some(Mishap::Later) => self.write("452 4.2.2 full for the moment").await,
            Some(mishap) => {
                self.recipients.push(address.to_owned());
                self.stumble(mishap, "250 2.1.5 yes").await
            }
            None => {
                self.recipients.push(address.to_owned());
                self.write("250 2.1.5 yes").await
            }
        }
    }

    async fn content(&mut self) -> Result<(), Over> {
        self.say("354 go on").await?;
        let mut content = String::new();
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line).await? == 0 {
                return Err(Over);
            }
            if line == ".\r\n" {
                break;
            }
            content.push_str(line.strip_prefix('.').unwrap_or(&line));
        }
        let recipients = std::mem::take(&mut self.recipients);
        if recipients.iter().any(|recipient| recipient.starts_with("dot")) {
            self.world.ledger().refuse_content(self.world.now_ms(), &recipients, &content);
            return self.write("554 5.7.1 not with that content").await;
        }
        match self.world.mishap(true) {
            None => {}
            Some(Mishap::Later) => return self.write("451 4.3.0 come again").await,
            Some(Mishap::Close) => return Err(Over),
            Some(Mishap::Silence) => return self.fall_silent().await,
            Some(Mishap::Slow(time)) => tokio::time::sleep(time).await,
            Some(Mishap::TakeAndClose) => {
                self.take(&recipients, &content);
                return Err(Over);
            }
            Some(Mishap::TakeAndSilence) => {
                self.take(&recipients, &content);
                return self.fall_silent().await;
            }
        }
        let marks = self.take(&recipients, &content);
        self.write("250 2.0.0 taken").await?;
        marks.iter().for_each(|mark| self.world.ledger().confirm(mark));
        Ok(())
    }

    fn take(&self, recipients: &[String], content: &str) -> Vec<(usize, String)> {
        let now_ms = self.world.now_ms();
        let mut ledger = self.world.ledger();
        recipients.iter().filter_map(|recipient| ledger.deliver(now_ms, recipient, content, &self.place)).collect()
    }
}
