//! One history: the server starts, serves, ends in some way and starts again, until everything has come to its end.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use gatepost_mail::MessageId;
use gatepost_policy::Settings;
use gatepost_policy::settings::{self, Defaults};
use gatepost_spool::by_hand::{self, ByHand};
use gatepost_spool::fake_disk::{Dice, FakeDisk, Faults};
use gatepost_spool::{Options, ReadError, State};
use gatepost_tracking::RevisionId;
use tempfile::TempDir;
use tokio::runtime::Builder;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::client::Client;
use super::ledger::{Ledger, Summary, Time, Wrong};
use super::outside::Outside;
use super::passports;
use super::scene::{self, Draft, Variant};
use super::world::World;
use crate::authenticate::Credentials;
use crate::clock;
use crate::control::Control;
use crate::listing::{Changed, MessageStatus, QueueFilter, Which, Wish};
use crate::reload::Fresh;
use crate::server::{Start, Transport};
use crate::simulated;
use crate::state::Running;

const CLIENTS: u64 = 5;
/// How long after the last trouble everything has come to its end, the lifetime of a message and the time by which the
/// clock was set back not counted: time for the last reports.
const REST_MS: u64 = 6 * 3_600_000;
/// The spool's folder on the fake disk.
const SPOOL: &str = "/spool";

/// How a history ended.
pub struct Ended {
    pub summary: Summary,
    /// What contradicts the promise, with everything that is known of it; empty if nothing does.
    pub wrong: String,
    pub history: String,
}

/// One history.
struct Story {
    world: Arc<World>,
    dice: Dice,
    disk: FakeDisk,
    folder: TempDir,
    clients: Vec<Arc<Client>>,
    variant: Variant,
    lifetime_ms: u64,
    verifies: bool,
    /// By how much the wall clock was set back, all in all.
    set_back_ms: u64,
    /// Whether the power is gone, or will be after a few more calls: the disk does not work again in this run.
    is_dying: bool,
    /// Whether it ends only when nothing waits any more.
    is_played_out: bool,
    /// The server, as long as there is one.
    running: Weak<Running>,
}

/// How a run of the server ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    PowerCut,
    Kill,
    Stop,
    /// It is the last one.
    Rest,
}

/// The running server.
struct Server {
    transport: Transport,
    control: Control,
    driver: JoinHandle<ByHand>,
    /// Tells the driver to hand the spool back.
    stop: oneshot::Sender<()>,
}

/// Plays the history of a seed.
pub fn play(seed: u64) -> Ended {
    let mut story = Story::new(seed);
    let entered = simulated::enter(Arc::new(Outside(story.world.clone())));
    for _ in 0..story.dice.below(6) {
        let end = [End::PowerCut, End::PowerCut, End::Kill, End::Stop][story.dice.below(4) as usize];
        story.run(end);
    }
    story.run(End::Rest);
    let ended = story.judge();
    drop(entered);
    ended
}

impl Story {
    fn new(seed: u64) -> Story {
        let mut dice = Dice(seed.wrapping_mul(0x2545_f491_4f6c_dd1d));
        let world = Arc::new(World::new(seed, &mut dice));
        let messages = 20 + dice.below(60);
        let rest_ms = world.trouble_ends_ms / messages;
        let clients = (0..CLIENTS).map(|number| {
            let drafts = (0..messages).map(|_| (Draft::draw(&mut dice), 0)).collect();
            Arc::new(Client {
                address: ([192, 168, 1, number as u8], 30_000).into(),
                drafts: std::sync::Mutex::new(drafts),
                rest_ms: rest_ms / 2,
                dice: std::sync::Mutex::new(Dice(dice.next())),
            })
        });
        let clients = clients.collect();
        Story {
            disk: FakeDisk::new(dice.next()),
            folder: TempDir::new().expect("a temporary folder"),
            clients,
            variant: Variant::FIRST,
            lifetime_ms: [2, 5, 24][dice.below(3) as usize] * 3_600_000,
            verifies: dice.one_in(3),
            set_back_ms: 0,
            is_dying: false,
            is_played_out: !dice.one_in(5),
            running: Weak::new(),
            world,
            dice,
        }
    }

    /// One run of the server, from its start to its end.
    fn run(&mut self, end: End) {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
        runtime.block_on(async {
            self.world.begin_time();
            self.live(end).await;
            self.world.stop_time();
        });
        // The disk first: whatever tasks do while they are dropped comes too late.
        match end {
            End::PowerCut => self.disk = self.disk.cut_power(),
            End::Kill => self.disk = self.disk.kill(),
            End::Stop | End::Rest => {}
        }
        drop(runtime);
        assert_eq!(self.running.strong_count(), 0, "seed {}: something of a server outlives it", self.world.seed);
        let (now_ms, world) = (self.world.now_ms(), self.world.clone());
        if end != End::Rest {
            world.ledger().restart(now_ms, &format!("{end:?}"));
        }
        self.is_dying = false;
        self.work_again();
    }

    async fn live(&mut self, end: End) {
        let begun = Instant::now();
        let Some(server) = self.start(end).await else { return };
        for client in &self.clients {
            let (client, world) = (client.clone(), self.world.clone());
            tokio::spawn(async move { client.run(world).await });
        }
        let census = tokio::spawn(take_censuses(self.world.clone(), server.control.clone(), self.lifetime_ms));
        let lasts = match end {
            End::Rest => Duration::MAX,
            // Now and then hardly begun.
            _ if self.dice.one_in(4) => Duration::from_millis(self.dice.below(5_000)),
            _ => Duration::from_millis(self.dice.below(self.world.trouble_ends_ms / 3)),
        };
        let is_restless = self.dice.one_in(2);
        while begun.elapsed() < lasts && self.world.now_ms() < self.world.trouble_ends_ms {
            let pause_ms = if is_restless { 60_000 } else { 900_000 };
            let pause = Duration::from_millis(self.dice.below(pause_ms));
            tokio::time::sleep(pause.min(lasts.saturating_sub(begun.elapsed()))).await;
            self.act(&server.control).await;
        }
        if end == End::Rest {
            self.rest(&server.control).await;
        } else if end != End::Stop && self.dice.one_in(2) {
            // In the middle of something: the disk stops there, and a little later everything.
            self.die_after(60);
            tokio::time::sleep(Duration::from_millis(self.dice.below(3_000))).await;
        } else if end != End::Stop {
            // Just when somebody was promised something.
            let _ = tokio::time::timeout(Duration::from_secs(600), self.world.accepted.notified()).await;
            tokio::time::sleep(Duration::from_millis(self.dice.below(4) * self.dice.below(10))).await;
        }
        census.abort();
        take_census(&self.world, &server.control, self.lifetime_ms).await;
        match end {
            End::Stop | End::Rest => {
                if end == End::Rest {
                    hold(&self.world, &server.control).await;
                }
                self.stop(server).await;
            }
            End::PowerCut | End::Kill => {}
        }
    }

    /// Starts the server on the disk as it is. `None` when that fails, as it may on a disk that does.
    async fn start(&mut self, end: End) -> Option<Server> {
        if matches!(end, End::PowerCut | End::Kill) && self.dice.one_in(5) {
            // The power goes in the middle of recovery.
            self.die_after(40);
        }
        let bell = Arc::new(Notify::new());
        let ringing = bell.clone();
        let options = Options {
            inline_bytes_max: 6_000,
            segment_bytes: 50_000,
            cache_bytes_max: 20_000,
            reserve_bytes: 8_000,
            held_bytes_max: 200_000,
            ..Options::default()
        };
        let opened =
            by_hand::open(Arc::new(self.disk.clone()), Path::new(SPOOL), options, move || ringing.notify_one());
        let (spool, steps, recovering) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                if end == End::Rest {
                    self.world.ledger().complain(None, format!("the spool does not open: {error}"));
                }
                return None;
            }
        };
        let (stop, stopped) = oneshot::channel();
        let driver = tokio::spawn(drive(steps, bell, stopped, Dice(self.dice.next())));
        let start = Start {
            settings: self.settings(),
            document: RevisionId::default(),
            number: 1,
            credentials: Credentials::default(),
            version: "simulated",
            open_files_max: 20_000,
        };
        let started = Transport::start_on(Arc::new(self.disk.clone()), spool, recovering, start).await;
        let transport = started.unwrap_or_else(|error| panic!("seed {}: {error}", self.world.seed));
        let control = transport.control();
        self.running = Arc::downgrade(&control.running);
        Some(Server { transport, control, driver, stop })
    }

    fn settings(&self) -> Arc<Settings> {
        if !self.variant.has_guest {
            self.world.ledger().guest_is_unknown();
        }
        let document = scene::document(self.variant, self.lifetime_ms / 1000, self.verifies);
        let document =
            format!("{document}\n[tls]\ncertificate = {:?}\nprivate_key = {:?}\n", certificate().0, certificate().1);
        let defaults = Defaults { host_name: scene::GATE.into(), data_dir: self.folder.path().into() };
        Arc::new(settings::parse(&document, &defaults).unwrap_or_else(|problems| panic!("{problems:?}")))
    }

    async fn stop(&mut self, server: Server) {
        server.transport.shut_down(Duration::from_secs(self.dice.below(30))).await;
        // The driver lives as long as the runtime.
        let _ = server.stop.send(());
        if let Ok(steps) = server.driver.await {
            steps.close();
        }
    }

    /// The administrator, or the world, does something.
    async fn act(&mut self, control: &Control) {
        match self.dice.below(17) {
            0 => drop(control.retry(Which::All, "simulation").await),
            1 | 2 => self.remove(control).await,
            3 => {
                self.variant = Variant::draw(&mut self.dice);
                self.reload(control).await;
            }
            4 if self.dice.one_in(3) => {
                // Whatever the leap makes too old is known to have been there.
                take_census(&self.world, control, self.lifetime_ms).await;
                let leap_ms = self.dice.below(48 * 3_600_000) as i64 - 24 * 3_600_000;
                self.world.leap(leap_ms);
                self.set_back_ms += leap_ms.min(0).unsigned_abs();
                self.note(format!("the wall clock is set by {} s", leap_ms / 1000));
                self.world.ledger().look_at_clock(self.world.now_ms(), clock::now_ms(), self.lifetime_ms);
            }
            5 | 6 => {
                let faults = match self.dice.below(4) {
                    0 => Faults { flush_one_in: 4, ..Faults::default() },
                    1 => Faults { write_one_in: 4, ..Faults::default() },
                    2 => Faults { files_max: self.disk.files().len() as u64 + self.dice.below(3), ..Faults::default() },
                    _ => {
                        let used: usize = self.disk.files().iter().map(|(_, content)| content.len()).sum();
                        Faults { bytes_max: used as u64 + self.dice.below(20_000), ..Faults::default() }
                    }
                };
                self.disk_fails(true);
                self.note(format!("{faults:?}"));
                self.disk.set_faults(faults);
            }
            7 | 8 => self.suspend(control).await,
            9 => self.resume(control).await,
            10 => self.suspend_a_queue(control).await,
            11 => self.redirect(control).await,
            _ => self.work_again(),
        }
    }

    /// Any message of a client's in the queue, with its number.
    async fn pick(&mut self, control: &Control) -> Option<(MessageId, usize)> {
        let listing = control.queue(QueueFilter { limit: usize::MAX, ..QueueFilter::default() }).await;
        let at = self.dice.below(listing.messages.len().max(1) as u64) as usize;
        let id = listing.messages.get(at)?.id;
        Some((id, number_of(control, id).await?))
    }

    async fn suspend(&mut self, control: &Control) {
        let Some((id, number)) = self.pick(control).await else { return };
        if let Ok(changed) = control.change(vec![id], Wish::Suspend, "simulation").await
            && (changed.messages, changed.pending) == (1, 0)
        {
            self.world.ledger().hold_back(self.world.now_ms(), number);
        }
    }

    /// One message, or all: poison, too.
    async fn resume(&mut self, control: &Control) {
        if self.dice.one_in(2) {
            let Some((id, number)) = self.pick(control).await else { return };
            self.world.ledger().let_go(self.world.now_ms(), Some(number));
            let _ = control.change(vec![id], Wish::Resume, "simulation").await;
        } else {
            self.resume_all(control).await;
        }
    }

    async fn resume_all(&self, control: &Control) {
        let listing = control.queue(QueueFilter { limit: usize::MAX, ..QueueFilter::default() }).await;
        let held = listing.messages.into_iter().filter(|message| message.status == MessageStatus::Suspended);
        self.world.ledger().let_go(self.world.now_ms(), None);
        // On a disk that fails it may not last; then it is done again.
        let _ = control.change(held.map(|message| message.id).collect(), Wish::Resume, "simulation").await;
        let _ = control.suspend_queues(control.suspended_queues(), false).await;
    }

    async fn suspend_a_queue(&mut self, control: &Control) {
        let queues = control.queues();
        let at = self.dice.below(queues.len() as u64 + 1) as usize;
        let name = queues.get(at).map_or_else(|| "submission".to_owned(), |queue| queue.name.clone());
        let suspend = self.dice.one_in(2);
        self.note(format!("queue {name:?} is suspended: {suspend}"));
        let _ = control.suspend_queues(vec![name], suspend).await;
    }

    async fn redirect(&mut self, control: &Control) {
        let Some((id, number)) = self.pick(control).await else { return };
        let connector = ["Partner", "Inside", "Nobody"][self.dice.below(3) as usize];
        let connector = (!self.dice.one_in(3)).then(|| connector.into());
        self.world.ledger().note(self.world.now_ms(), number, format!("redirected to {connector:?}"));
        let _ = control.change(vec![id], Wish::Redirect(connector), "simulation").await;
    }

    async fn reload(&self, control: &Control) {
        self.note(format!("reload: {:?}", self.variant));
        let applied = control
            .apply(
                Fresh {
                    settings: self.settings(),
                    document: RevisionId::default(),
                    number: 2,
                    credentials: Credentials::default(),
                },
                "simulation",
            )
            .await;
        applied.map(drop).unwrap_or_else(|error| panic!("seed {}: {error}", self.world.seed));
    }

    async fn remove(&mut self, control: &Control) {
        let listing = control.queue(QueueFilter { limit: usize::MAX, ..QueueFilter::default() }).await;
        if listing.messages.is_empty() {
            return;
        }
        let id = listing.messages[self.dice.below(listing.messages.len() as u64) as usize].id;
        let with_report = self.dice.one_in(2);
        let Some(number) = number_of(control, id).await else { return };
        let removed = control.change(vec![id], Wish::Remove { with_report }, "simulation").await;
        let is_safe = removed.is_ok();
        let Changed { messages, pending, .. } = removed.unwrap_or(Changed { messages: 1, ..Changed::default() });
        if messages == 1 {
            self.world.ledger().remove(self.world.now_ms(), number, with_report, is_safe && pending == 0);
        }
    }

    fn note(&self, what: String) {
        self.world.ledger().note_for_all(self.world.now_ms(), what);
    }

    fn disk_fails(&self, fails: bool) {
        self.world.ledger().disk_fails(self.world.now_ms(), fails);
    }

    fn work_again(&mut self) {
        self.disk.set_faults(Faults::default());
        if !self.is_dying {
            self.disk_fails(false);
        }
    }

    /// The power goes, as the disk sees it, after fewer calls than this.
    fn die_after(&mut self, calls_max: u64) {
        self.is_dying = true;
        self.disk_fails(true);
        self.disk.fail_after(self.dice.below(calls_max));
    }

    /// Lets time run on until nothing waits any more, or for as long as anything may.
    async fn rest(&mut self, control: &Control) {
        self.work_again();
        if !self.variant.has_internet && !self.dice.one_in(4) {
            self.variant.has_internet = true;
            self.reload(control).await;
        }
        let most_ms = match self.is_played_out {
            true => self.world.trouble_ends_ms + self.lifetime_ms + self.set_back_ms + REST_MS,
            false => self.world.now_ms() + self.dice.below(3_600_000),
        };
        while self.world.now_ms() < most_ms || control.status().recovering {
            if self.is_played_out {
                self.resume_all(control).await;
            }
            tokio::time::sleep(Duration::from_secs(300)).await;
            let status = control.status();
            let is_empty = !status.recovering && status.spool.messages == 0;
            let is_quiet = is_empty && self.clients.iter().all(|client| client.is_done());
            if is_quiet {
                break;
            }
        }
    }

    fn judge(self) -> Ended {
        let Story { world, disk, folder, lifetime_ms, is_played_out, .. } = self;
        let seed = world.seed;
        // What is in a mailbox is there after a power cut, too.
        let disk = disk.cut_power();
        for (path, content) in disk.files() {
            if path.parent().is_some_and(|folder| folder.ends_with("new")) {
                deliver_from_mailbox(&world, &path, &content);
            }
        }
        let now_ms = world.now_ms();
        let (summary, mut wrong) = world.ledger().judge(now_ms, census_every(lifetime_ms), is_played_out);
        let ledger = world.ledger();
        wrong.extend(passports::judge(&ledger, folder.path(), ledger.had_disk_trouble()));
        Ended { summary, wrong: tell(seed, &ledger, &wrong), history: ledger.everything() }
    }
}

fn tell(seed: u64, ledger: &Ledger, wrong: &[Wrong]) -> String {
    let mut text = String::new();
    if wrong.is_empty() {
        return text;
    }
    text.push_str(&format!("seed {seed}, {} contradictions\n", wrong.len()));
    for wrong in wrong.iter().take(5) {
        let history = wrong.number.map(|number| ledger.history(number)).unwrap_or_default();
        text.push_str(&format!("\n{}\n{history}", wrong.what));
    }
    text.push_str(&format!("\nAgain: GATEPOST_SEED={seed} cargo test -p gatepost-transport conservation\n"));
    text
}

fn deliver_from_mailbox(world: &World, path: &Path, content: &[u8]) {
    let text = String::from_utf8_lossy(content).replace('\n', "\r\n");
    let Some(recipient) = text.lines().find_map(|line| line.strip_prefix("Delivered-To: ")) else {
        return world.ledger().complain(None, format!("{} is no whole message", path.display()));
    };
    let now_ms = world.now_ms();
    let mut ledger = world.ledger();
    let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    if let Some(mark) = ledger.deliver(now_ms, recipient.trim(), &text, &format!("its mailbox, {name}")) {
        ledger.confirm(&mark);
    }
}

/// Takes the steps of the spool's threads, a moment after there is something to do.
async fn drive(mut steps: ByHand, bell: Arc<Notify>, mut stop: oneshot::Receiver<()>, mut dice: Dice) -> ByHand {
    const IDLE: Duration = Duration::from_secs(1);
    let mut idle_at = Instant::now() + IDLE;
    loop {
        let has_more = steps.has_more_to_do();
        tokio::select! {
            biased;
            _ = &mut stop => return steps,
            () = bell.notified() => tokio::time::sleep(Duration::from_micros(100 + dice.below(5_000))).await,
            () = tokio::time::sleep_until(idle_at), if has_more => {}
        }
        let is_idle = Instant::now() >= idle_at;
        if is_idle {
            idle_at = Instant::now() + IDLE;
        }
        steps.step(is_idle);
    }
}

fn census_every(lifetime_ms: u64) -> Time {
    lifetime_ms / 12
}

/// Looks at the queue again and again.
async fn take_censuses(world: Arc<World>, control: Control, lifetime_ms: u64) {
    loop {
        take_census(&world, &control, lifetime_ms).await;
        tokio::time::sleep(Duration::from_millis(census_every(lifetime_ms))).await;
    }
}

async fn take_census(world: &World, control: &Control, lifetime_ms: u64) {
    let shows_all = !control.status().recovering;
    let listing = control.queue(QueueFilter { limit: usize::MAX, ..QueueFilter::default() }).await;
    world.ledger().look(world.now_ms(), shows_all);
    for message in listing.messages {
        let waiting = message.recipients.into_iter().filter(|recipient| recipient.state == State::Pending);
        let waiting: Vec<String> = waiting.map(|recipient| recipient.address).collect();
        if let Some(number) = number_of(control, message.id).await {
            world.ledger().see_waiting(world.now_ms(), number, waiting.into_iter());
        } else if let Ok(content) = content(control, message.id) {
            world.ledger().see_report(world.now_ms(), clock::now_ms(), &content);
        }
    }
    world.ledger().look_at_clock(world.now_ms(), clock::now_ms(), lifetime_ms);
}

/// The number of a message of a client's; `None` for reports.
async fn number_of(control: &Control, id: MessageId) -> Option<usize> {
    let header = control.message(id).await?.header;
    header.lines().find_map(|line| line.strip_prefix("X-Number: ")).and_then(|number| number.trim().parse().ok())
}

/// At the end: what is in the queue, by its content and as the listing shows it.
async fn hold(world: &World, control: &Control) {
    let listing = control.queue(QueueFilter { limit: usize::MAX, ..QueueFilter::default() }).await;
    let listed: BTreeSet<MessageId> = listing.messages.iter().map(|message| message.id).collect();
    let live: BTreeSet<MessageId> = control.running.spool.live().into_iter().collect();
    if listed != live || listing.total != control.status().spool.messages {
        world.ledger().complain(None, format!("the queue lists {listed:?}, the spool holds {live:?}"));
    }
    for message in listing.messages {
        match content(control, message.id) {
            Ok(content) => {
                let waiting = message.recipients.into_iter().filter(|recipient| recipient.state == State::Pending);
                let waiting = waiting.map(|recipient| recipient.address).collect();
                world.ledger().hold(&content, waiting);
            }
            Err(error) => world.ledger().complain(None, format!("{} cannot be read: {error}", message.id)),
        }
    }
}

/// The whole content of a message in the queue.
fn content(control: &Control, id: MessageId) -> Result<String, ReadError> {
    let message = control.running.spool.message(id)?;
    let mut content = Vec::new();
    while (content.len() as u64) < message.content.len() {
        content.extend_from_slice(&message.content.read(content.len() as u64, usize::MAX)?);
    }
    Ok(String::from_utf8_lossy(&content).into_owned())
}

/// A certificate and its key for all histories: making one takes longer than playing one.
fn certificate() -> &'static (PathBuf, PathBuf) {
    static CERTIFICATE: OnceLock<(TempDir, (PathBuf, PathBuf))> = OnceLock::new();
    let made = CERTIFICATE.get_or_init(|| {
        let folder = TempDir::new().expect("a temporary folder");
        let made = rcgen::generate_simple_self_signed([scene::GATE.to_owned()]).expect("a certificate");
        let files = (folder.path().join("certificate.pem"), folder.path().join("key.pem"));
        std::fs::write(&files.0, made.cert.pem()).expect("room");
        std::fs::write(&files.1, made.signing_key.serialize_pem()).expect("room");
        (folder, files)
    });
    &made.1
}
