//! What the integration tests drive the real binary with; never part of a release.
//!
//! Everything runs on loopback, on ports found at run time, and waits for conditions with a deadline instead of sleeping.
//! A helper that cannot do its part panics and says why: there is no caller who could do better than fail the test.
//!
//! The modules, each using only those below it:
//!
//! - [`script`]: dialogues as data files (`C:` and `S:` lines), played against a server;
//! - [`installation`]: a folder with a settings file, and the server and the commands run on it;
//! - [`browser`]: a web browser, and what it finds wrong with a page;
//! - [`power_cut`]: the disk as it is found after a power cut, from what a server did to it;
//! - [`shim`]: a preloaded library that records what the server does to the disk, and lets calls fail;
//! - [`wall_clock`]: a wall clock that can be set while a server runs;
//! - [`dovecot`]: a mailbox server;
//! - [`programs`]: the foreign programs: swaks, smtp-sink, smtp-source, Python's mailbox and email modules;
//! - [`sink`]: a next hop of our own that records what it gets and answers what it is told to;
//! - [`hop`]: a next hop that misbehaves at one step of the dialogue;
//! - [`provider`]: a smart host that wants a logon, with a certificate of the test's;
//! - [`submission`]: Dovecot's submission server, which wants a logon;
//! - [`crowd`]: thousands of slow and hostile peers;
//! - [`client`]: an SMTP client that says exactly what it is told;
//! - [`authority`]: certificates for those who prove who they are;
//! - [`dns`]: a name server with a few records;
//! - [`name_server`]: a real one, with a zone;
//! - [`volume`]: a small file system that can be full, out of files or read-only;
//! - [`wire`]: lines and bytes over TCP, with or without TLS;
//! - [`dice`]: random numbers that a seed repeats;
//! - [`port`]: free ports;
//! - [`wait`]: waiting with a deadline.

pub mod script;

pub mod installation;

pub mod browser;

mod web_driver;

pub mod power_cut;

pub mod shim;

pub mod wall_clock;

pub mod dovecot;

pub mod programs;

pub mod sink;

pub mod hop;

pub mod provider;

pub mod submission;

mod dovecot_process;

pub mod crowd;

pub mod client;

pub mod authority;

pub mod dns;

pub mod name_server;

pub mod volume;

pub mod wire;

pub mod dice;

pub mod port;

pub mod wait;
