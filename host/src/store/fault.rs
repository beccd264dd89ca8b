//! Named points at which the store can be stopped, so that tests show what a crash leaves behind.

use std::sync::OnceLock;

/// Points in storing, restoring and collecting between which a crash leaves different things behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// The archive is half written to a temporary file.
    ArchiveBegun,
    /// The archive is written to a temporary file.
    ArchiveWritten,
    /// The archive has its name.
    ArchiveNamed,
    /// The entry is written, in a transaction that is not yet committed.
    EntryWritten,
    /// The entry is in the index.
    EntryStored,
    /// The archive is unpacked beside its targets.
    Unpacked,
    /// Stale files are removed.
    StaleRemoved,
    /// The first file is in place.
    FirstPlaced,
    /// All files are in place.
    AllPlaced,
    /// What was left is remembered.
    LeftRemembered,
    /// Entries are forgotten, and their archives are still there.
    EntriesForgotten,
    /// The first archive that no entry names is removed.
    ArchiveRemoved,
}

impl Point {
    /// Every point. A test that matches on the enum keeps this list whole.
    pub const ALL: [Point; 12] = [
        Point::ArchiveBegun,
        Point::ArchiveWritten,
        Point::ArchiveNamed,
        Point::EntryWritten,
        Point::EntryStored,
        Point::Unpacked,
        Point::StaleRemoved,
        Point::FirstPlaced,
        Point::AllPlaced,
        Point::LeftRemembered,
        Point::EntriesForgotten,
        Point::ArchiveRemoved,
    ];

    /// Aborts the process here if `OVERHEAR_ABORT_AT` names this point.
    pub(super) fn reached(self) {
        static ABORT_AT: OnceLock<Option<String>> = OnceLock::new();
        let abort_at = ABORT_AT.get_or_init(|| std::env::var("OVERHEAR_ABORT_AT").ok());
        if abort_at.as_deref() == Some(format!("{self:?}").as_str()) {
            std::process::abort();
        }
    }
}
