//! The header section of a message, read as far as a relay must know it (RFC 5322 section 2.2).

/// One header field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// The name, as written.
    pub name: &'a str,
    /// What follows the colon, folds included, without the line end.
    pub value: &'a [u8],
}

/// What a scan of the content found out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Size of the header section in bytes.
    pub size_bytes: u64,
    /// Whether the header section exceeds the limit.
    pub too_large: bool,
    /// Number of Received fields.
    pub received_count: u32,
    /// Number of Received fields that name the local server after `by`.
    pub received_local_count: u32,
    /// Whether there is a Message-ID field.
    pub has_message_id: bool,
    /// The first Message-ID.
    pub message_id: Option<String>,
    /// Whether there is a Date field.
    pub has_date: bool,
    /// Whether there is a From field.
    pub has_from: bool,
    /// Whether the header section is ASCII.
    pub is_ascii: bool,
}

/// Watches content as it streams by.
#[derive(Debug)]
pub struct Scanner {}

impl Scanner {
    /// `size_max`: MaxHeaderSize in bytes; `local_fqdn`: the name that our own Received fields carry after `by`.
    pub fn new(_size_max: u64, _local_fqdn: &str) -> Scanner {
        Scanner {}
    }
    /// The next slice of the content.
    pub fn push(&mut self, _bytes: &[u8]) {}
    /// Whether the header section exceeds the limit already.
    pub fn is_too_large(&self) -> bool {
        false
    }
    /// The content has ended.
    pub fn finish(self) -> Header {
        Header::default()
    }
}

/// The fields of a header section.
pub fn fields(_section: &[u8]) -> impl Iterator<Item = Field<'_>> {
    std::iter::empty()
}

/// Length of the header section.
pub fn section_len(_content: &[u8]) -> Option<usize> {
    None
}
