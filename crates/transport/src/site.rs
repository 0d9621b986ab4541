//! A server without sockets, for the tests of the modules above: a spool in a folder of its own, queues, settings.

use std::sync::Arc;

use gatepost_mail::{Arrival, AuthAs, BodyType, Envelope, Mailbox, MessageId, Recipient, ReversePath};
use gatepost_policy::Settings;
use gatepost_policy::protocol_log::ProtocolLogs;
use gatepost_policy::settings::{self, Defaults};
use gatepost_spool::disk::{Disk, RealDisk};
use gatepost_spool::{Options, Spool};
use gatepost_tracking::Tracking;
use tempfile::TempDir;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::authenticate::{Authenticator, Credentials};
use crate::clock::now_ms;
use crate::queue::{DeliveryQueue, Queues};
use crate::quotas::Quotas;
use crate::state::{Parts, Revision, Running, tracking_limits};
use crate::suspects::Suspects;
use crate::tls::Tls;
use crate::transcript::{Kept, Transcripts};

/// Domains, one mailbox, and a way out for everything else.
pub const CONTOSO: &str = r#"
[[accepted_domain]]
name = "contoso.com"

[[mailbox]]
address = "bob@contoso.com"

[[receive_connector]]
name = "Default"
bindings = ["127.0.0.1:2525"]
remote_ip_ranges = ["127.0.0.1"]
auth_mechanism = ["Tls"]
permission_groups = ["AnonymousUsers"]
"#;

/// What serves nobody.
pub struct Site {
    pub running: Arc<Running>,
    /// Workers that the queues ask for; none is started.
    pub worker_requests: UnboundedReceiver<Arc<DeliveryQueue>>,
    folder: TempDir,
}

impl Site {
    pub fn new(document: &str) -> Site {
        Site::on(Arc::new(RealDisk), Options::default(), document)
    }

    /// The same with its spool on another disk, or with other options.
    pub fn on(disk: Arc<dyn Disk>, options: Options, document: &str) -> Site {
        let folder = TempDir::new().expect("a temporary folder");
        let settings = parse(document, &folder);
        let tls = Tls::load(&settings).expect("a self-signed certificate");
        let (spool, _) = Spool::open_on(disk, &folder.path().join("spool"), options).expect("a new spool");
        let (queues, worker_requests) = Queues::new(20);
        let tracking = Tracking::open(folder.path(), tracking_limits(&settings)).expect("a thread");
        let running = Arc::new(Running::new(Parts {
            version: "0",
            started_ms: now_ms(),
            connections_max: u32::MAX,
            revision: Revision::new(1, now_ms(), settings, Credentials::default(), tls),
            spool,
            disk: Arc::new(RealDisk),
            queues,
            suspects: Suspects::open(folder.path()).expect("room"),
            quotas: Quotas::open(folder.path().join("quotas")).expect("a thread"),
            authenticator: Authenticator::new().expect("randomness"),
            transcripts: Transcripts::start(Kept::new(folder.path(), &ProtocolLogs::default())).expect("a thread"),
            tracking,
        }));
        Site { running, worker_requests, folder }
    }

    /// Another document for the same folder.
    pub fn settings(&self, document: &str) -> Arc<Settings> {
        parse(document, &self.folder)
    }

    /// A message in the spool and in no queue.
    pub async fn accept(&self, envelope: Envelope, content: &str) -> MessageId {
        let mut staged = self.running.spool.stage();
        staged.write(content.as_bytes()).expect("room");
        staged.commit(envelope, Vec::new()).await.expect("the disk works")
    }
}

fn parse(document: &str, folder: &TempDir) -> Arc<Settings> {
    let defaults = Defaults { host_name: "mail.contoso.com".into(), data_dir: folder.path().into() };
    Arc::new(settings::parse(document, &defaults).unwrap_or_else(|problems| panic!("{problems:?}")))
}

pub fn mailbox(address: &str) -> Mailbox {
    Mailbox::parse(address).expect("an address")
}

/// An envelope that has just come in. An empty sender is the null reverse-path.
pub fn envelope(sender: &str, recipients: &[&str]) -> Envelope {
    Envelope {
        reverse_path: match sender {
            "" => ReversePath::Null,
            sender => ReversePath::Mailbox(mailbox(sender)),
        },
        recipients: recipients.iter().map(|address| Recipient::new(mailbox(address))).collect(),
        body: BodyType::SevenBit,
        smtputf8: false,
        ret: None,
        envid: None,
        arrival: Arrival {
            time_ms: now_ms(),
            peer: None,
            connector: "Default".into(),
            principal: "alice".into(),
            auth_as: AuthAs::Internal,
            ..Arrival::default()
        },
    }
}
