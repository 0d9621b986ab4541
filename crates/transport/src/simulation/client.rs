//! A client that sends messages: honest, but cut off anywhere, and back again when it was told to come later.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gatepost_spool::fake_disk::Dice;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream};

use super::ledger::Answer;
use super::scene::Draft;
use super::world::World;
use crate::clock;
use crate::simulated;

/// How long a client waits for a reply.
const PATIENCE: Duration = Duration::from_secs(11 * 60);
/// How often it tries one message.
const TRIES_MAX: u32 = 4;

/// One client; it goes on after the server was restarted.
pub struct Client {
    /// Its address.
    pub address: SocketAddr,
    /// What it still wants to send, and how often that was tried.
    pub drafts: Mutex<Vec<(Draft, u32)>>,
    /// About how long it rests between messages.
    pub rest_ms: u64,
    /// Whether and where it is cut off follow from this.
    pub dice: Mutex<Dice>,
}

/// What came of trying to send a message.
enum Sent {
    /// It is at its end, whatever that was; the connection is good for another.
    Done,
    /// The server says "later".
    Later,
    /// The connection is over.
    CutOff,
}

impl Client {
    fn draw<T>(&self, draw: impl FnOnce(&mut Dice) -> T) -> T {
        draw(&mut self.dice.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether everything is sent.
    pub fn is_done(&self) -> bool {
        self.drafts.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Sends until everything is sent.
    pub async fn run(&self, world: Arc<World>) {
        loop {
            self.rest(self.rest_ms).await;
            let Some(first) = self.next() else { return };
            // One draft is on its way at a time; whatever ends the connection, or the server, it is put back first.
            let door = first.door;
            let Some(stream) =
                simulated::world().and_then(|outside| outside.visit(door, self.address, world.bytes_on_the_way()))
            else {
                continue;
            };
            let mut talk = Talk { client: self, world: &world, stream: BufReader::new(stream) };
            let _ = talk.converse(door).await;
        }
    }

    async fn rest(&self, about_ms: u64) {
        let rest_ms = self.draw(|dice| dice.below(2 * about_ms + 1));
        tokio::time::sleep(Duration::from_millis(rest_ms)).await;
    }

    fn next(&self) -> Option<Draft> {
        let drafts = self.drafts.lock().unwrap_or_else(PoisonError::into_inner);
        drafts.last().map(|(draft, _)| draft.clone())
    }

    /// The last draft was tried; whether it is done with.
    fn tried(&self, is_done: bool) {
        let mut drafts = self.drafts.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((draft, tries)) = drafts.pop() else { return };
        if !is_done && tries + 1 < TRIES_MAX {
            // Others come first.
            let place = drafts.len().saturating_sub(3);
            drafts.insert(place, (draft, tries + 1));
        }
    }
}

struct Talk<'a> {
    client: &'a Client,
    world: &'a World,
    stream: BufReader<DuplexStream>,
}

/// The connection is over.
struct Over;

impl From<std::io::Error> for Over {
    fn from(_: std::io::Error) -> Over {
        Over
    }
}

impl Talk<'_> {
    async fn converse(&mut self, door: SocketAddr) -> Result<(), Over> {
        self.reply().await?;
        self.write("EHLO client.example\r\n").await?;
        self.reply().await?;
        loop {
            let Some(draft) = self.client.next() else { return self.write("QUIT\r\n").await };
            if draft.door != door {
                return self.write("QUIT\r\n").await;
            }
            let sent = self.send(&draft).await.unwrap_or(Sent::CutOff);
            self.client.tried(matches!(sent, Sent::Done));
            match sent {
                Sent::CutOff => return Err(Over),
                Sent::Done | Sent::Later if self.client.draw(|dice| dice.one_in(2)) => {
                    return self.write("QUIT\r\n").await;
                }
                Sent::Done | Sent::Later => {
                    self.client.rest(500).await;
                    self.write("RSET\r\n").await?;
                    self.reply().await?;
                }
            }
        }
    }

    async fn send(&mut self, draft: &Draft) -> Result<Sent, Over> {
        // One in eight is cut off somewhere.
        let cut_off = self.client.draw(|dice| dice.one_in(8).then(|| dice.below(5)));
        let is_pipelined = self.client.draw(|dice| dice.one_in(2));
        let (number, content) = self.world.ledger().begin(self.world.now_ms(), draft.sender.clone(), draft.bytes);
        let mut commands = vec![format!("MAIL FROM:<{}>\r\n", draft.sender.as_deref().unwrap_or_default())];
        commands.extend(draft.recipients.iter().map(|(recipient, notify)| match notify {
            Some(notify) => format!("RCPT TO:<{recipient}> NOTIFY={notify}\r\n"),
            None => format!("RCPT TO:<{recipient}>\r\n"),
        }));
        if is_pipelined {
            self.write(&commands.concat()).await?;
        }
        let mut accepted = 0;
        let mut is_later = false;
        for (place, command) in commands.iter().enumerate() {
            if cut_off == Some(0) && place == commands.len() / 2 {
                return Err(Over);
            }
            if !is_pipelined {
                self.write(command).await?;
            }
            let code = self.reply().await?;
            is_later |= code / 100 == 4;
            if place == 0 && code != 250 {
                return Ok(if is_later { Sent::Later } else { Sent::Done });
            }
            if place > 0 && code == 250 {
                let (recipient, notify) = &draft.recipients[place - 1];
                self.world.ledger().name(number, recipient, *notify);
                accepted += 1;
            }
        }
        if accepted == 0 {
            return Ok(if is_later { Sent::Later } else { Sent::Done });
        }
        self.content(number, &content, cut_off).await
    }

    async fn content(&mut self, number: usize, content: &str, cut_off: Option<u64>) -> Result<Sent, Over> {
        let middle = content.len() / 2;
        if self.client.draw(|dice| dice.one_in(3)) {
            let (head, tail) = content.split_at(middle);
            self.write(&format!("BDAT {}\r\n{head}", head.len())).await?;
            if self.reply().await? != 250 {
                return Ok(Sent::Later);
            }
            if cut_off == Some(1) {
                return Err(Over);
            }
            let all_but_one = tail.len() - 1;
            self.write(&format!("BDAT {} LAST\r\n{}", tail.len(), &tail[..all_but_one])).await?;
            if cut_off == Some(2) {
                return Err(Over);
            }
            self.end(number);
            self.write(&tail[all_but_one..]).await?;
        } else {
            self.write("DATA\r\n").await?;
            if self.reply().await? != 354 {
                return Ok(Sent::Later);
            }
            let stuffed = content.replace("\r\n.", "\r\n..");
            let (head, tail) = stuffed.split_at(middle);
            self.write(head).await?;
            if cut_off == Some(1) {
                return Err(Over);
            }
            self.write(tail).await?;
            if cut_off == Some(2) {
                return Err(Over);
            }
            self.end(number);
            self.write(".\r\n").await?;
        }
        if cut_off == Some(3) {
            // Whether the server has read that much is its business.
            return Err(Over);
        }
        let code = self.reply().await?;
        let answer = if code == 250 { Answer::Accepted } else { Answer::Refused(code) };
        self.world.ledger().answer(self.world.now_ms(), number, answer);
        if answer == Answer::Accepted {
            self.world.accepted.notify_waiters();
        }
        Ok(if code / 100 == 4 { Sent::Later } else { Sent::Done })
    }

    /// From here on the message may have been accepted.
    fn end(&self, number: usize) {
        self.world.ledger().end(self.world.now_ms(), clock::now_ms(), number);
    }

    async fn write(&mut self, text: &str) -> Result<(), Over> {
        Ok(tokio::time::timeout(PATIENCE, self.stream.write_all(text.as_bytes())).await.map_err(|_| Over)??)
    }

    async fn reply(&mut self) -> Result<u16, Over> {
        loop {
            let mut line = String::new();
            let read = tokio::time::timeout(PATIENCE, self.stream.read_line(&mut line)).await.map_err(|_| Over)??;
            let code = line.get(..3).and_then(|code| code.parse().ok());
            match (read, code) {
                (0, _) | (_, None) => return Err(Over),
                (_, Some(code)) if line.as_bytes().get(3) != Some(&b'-') => return Ok(code),
                _ => {}
            }
        }
    }
}
