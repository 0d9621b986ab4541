//! Messages that were just accepted, kept in memory so that their first delivery needs no disk.
//!
//! First in, first out: a message that was not delivered at once is retried after minutes, and the disk is good
//! enough for that.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use gatepost_mail::Envelope;

use crate::message::Content;

/// Rough memory for an envelope and the cache's own bookkeeping.
const OVERHEAD_BYTES: usize = 768;

#[derive(Debug)]
pub(crate) struct Cache {
    bytes_max: usize,
    bytes: usize,
    messages: HashMap<u64, Cached>,
    /// In the order of arrival; may name messages that are gone already.
    order: VecDeque<u64>,
}

#[derive(Clone, Debug)]
pub(crate) struct Cached {
    pub envelope: Arc<Envelope>,
    pub content: Content,
    /// Memory that the content holds on to.
    pub memory_bytes: usize,
}

impl Cache {
    pub fn new(bytes_max: usize) -> Cache {
        Cache { bytes_max, bytes: 0, messages: HashMap::new(), order: VecDeque::new() }
    }

    pub fn insert(&mut self, id: u64, mut cached: Cached) {
        cached.memory_bytes += OVERHEAD_BYTES;
        if cached.memory_bytes > self.bytes_max {
            return;
        }
        self.bytes += cached.memory_bytes;
        self.messages.insert(id, cached);
        self.order.push_back(id);
        while self.bytes > self.bytes_max {
            let Some(oldest) = self.order.pop_front() else { break };
            self.remove(oldest);
        }
        // Settled messages leave their number behind; forget those before they outnumber the others.
        if self.order.len() > 2 * self.messages.len() + 1024 {
            let messages = &self.messages;
            self.order.retain(|id| messages.contains_key(id));
        }
    }

    pub fn get(&self, id: u64) -> Option<&Cached> {
        self.messages.get(&id)
    }

    pub fn remove(&mut self, id: u64) {
        if let Some(cached) = self.messages.remove(&id) {
            self.bytes -= cached.memory_bytes;
        }
    }

    pub fn clear(&mut self) {
        *self = Cache::new(self.bytes_max);
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }
}
