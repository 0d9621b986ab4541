//! The server, driven from outside by real programs and by typed dialogues: what an administrator and a peer can see.
//!
//! One binary holds all of it, so that a change rebuilds one test program. Each test runs a server of its own on loopback
//! ports of its own; nothing waits for a fixed time, nothing leaves the machine.
//!
//! - [`wire`]: dialogues kept as data under `wire/`;
//! - [`scenes`]: the relay scenes, played by swaks from several hosts into Postfix's smtp-sink;
//! - [`vectors`]: the fact sheet's test vectors, each by its number;
//! - [`foreign`]: other programs as clients: smtp-source, curl, Python's smtplib;
//! - [`authentication`], [`certificates`], [`senders`], [`limits`], [`slow_peers`], [`conditions`], [`tarpit`], [`smuggling`], [`private_causes`], [`extensions`], [`listening`], [`domains`],
//!   [`verification`]: the receiving side;
//! - [`recipients`]: groups, contacts, aliases;
//! - [`local_delivery`], [`mailbox_server`], [`next_hop`], [`send_connectors`], [`smart_host_logon`], [`next_hop_tls`], [`hostile_next_hops`], [`replies_of_next_hops`], [`routing`], [`priorities`], [`report`], [`mx`]: the delivering side;
//! - [`header_firewall`]: which header fields a message keeps, both ways;
//! - [`durability`]: kill -9, damaged files, SIGTERM, the lock;
//! - [`clock_jumps`]: a wall clock that is set by a day while mail waits;
//! - [`recovery`]: restarts with a large queue;
//! - [`spool`]: what `spool verify` says of the files on the disk;
//! - [`power_cut`], [`kill`], [`failing_disk`]: a server whose every call to the disk is watched, and made to fail;
//! - [`numbered`]: the load for these: messages with numbers, and who saw which;
//! - [`back_pressure`], [`disk`]: what runs short, and that it ends;
//! - [`settings`], [`audit`], [`signed_report`], [`explain`], [`first_run`], [`queue`], [`users`], [`access`], [`rest`], [`seeing`], [`live_transcript`], [`trace`]: what an administrator does and sees;
//! - [`commands`]: the registry's commands, over the socket;
//! - [`shell`]: the shell at a terminal, for texts, files and pipes;
//! - [`idioms`]: what administrators have in their scripts, kept as data under `idioms/`;
//! - [`console`]: the web console in a browser;
//! - [`guide`]: what the guide shows;
//! - [`site`]: the settings documents that they share.

mod wire;

mod command_line;
mod commands;

mod shell;

mod scenes;

mod vectors;

mod foreign;

mod authentication;

mod senders;

mod smart_host_logon;

mod next_hop_tls;

mod send_connectors;

mod certificates;

mod limits;

mod slow_peers;

mod conditions;

mod tarpit;

mod smuggling;

mod private_causes;

mod extensions;

mod listening;

mod domains;

mod verification;

mod local_delivery;

mod mailbox_server;

mod next_hop;

mod routing;

mod hostile_next_hops;

mod replies_of_next_hops;

mod report;
mod revisions;
mod rewriting;

mod recipients;

mod mx;

mod header_firewall;

mod durability;

mod clock_jumps;

mod recovery;

mod spool;

mod live_transcript;

mod trace;

mod power_cut;
mod priorities;

mod kill;

mod failing_disk;

mod numbered;

mod back_pressure;

mod monitoring;

mod alarms;

mod listener;

mod disk;

mod settings;

mod attacks;
mod audit;

mod signed_report;

mod explain;

mod decision;

mod first_run;

mod queue;
mod queue_administration;

mod users;

mod access;
mod console;
mod rest;

mod seeing;

mod idioms;

mod guide;

mod site;
