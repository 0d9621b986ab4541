//! What a server can run short of, by the names of Exchange's meters (fact sheet section 5.3).

use std::fmt;

/// A resource that is metered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Resource {
    /// Bytes of the file system that the spool is on.
    SpoolSpace,
    /// Files (inodes) of that file system.
    SpoolFiles,
    /// Bytes of the file system that the data folder is on, where it is another one.
    DataSpace,
    /// Files of that file system.
    DataFiles,
    /// Memory that belongs to this process alone.
    PrivateBytes,
    /// Memory of the machine or of the container.
    SystemMemory,
    /// Messages that wait, in all queues together.
    QueueLength,
    /// Files and connections that this process has open.
    OpenFiles,
}

impl Resource {
    /// All of them.
    pub const ALL: [Resource; 8] = [
        Resource::SpoolSpace,
        Resource::SpoolFiles,
        Resource::DataSpace,
        Resource::DataFiles,
        Resource::PrivateBytes,
        Resource::SystemMemory,
        Resource::QueueLength,
        Resource::OpenFiles,
    ];

    /// Its name in status, logs and records.
    pub const fn name(self) -> &'static str {
        match self {
            Resource::SpoolSpace => "UsedDiskSpace[spool]",
            Resource::SpoolFiles => "UsedFiles[spool]",
            Resource::DataSpace => "UsedDiskSpace[data]",
            Resource::DataFiles => "UsedFiles[data]",
            Resource::PrivateBytes => "PrivateBytes",
            Resource::SystemMemory => "SystemMemory",
            Resource::QueueLength => "QueueLength",
            Resource::OpenFiles => "OpenFiles",
        }
    }

    /// Whether it is measured in hundredths of a percent; otherwise it is counted.
    pub const fn is_share(self) -> bool {
        !matches!(self, Resource::QueueLength)
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
