//! Storage's bounds (DESIGN: every input has one), as plain settings that the program fills from its configuration.

/// Bounds and sizes of storage. `Default` gives the documented values.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Largest message, canonical bytes; more is refused, never cut.
    pub max_message_bytes: u64,
    /// A message above this is spooled to a file while it is read.
    pub spool_above_bytes: usize,
    /// Deepest nesting of MIME entities that is parsed; below it, content is opaque.
    pub max_mime_depth: usize,
    /// Most MIME entities of one message that are told apart.
    pub max_mime_parts: usize,
    /// Header bytes of one message that are parsed, all entities together.
    pub max_header_bytes: usize,
    /// Decoded text of one message that is indexed and searched, bytes of UTF-8.
    pub max_text_bytes: usize,
    /// Messages that may lie above the index's watermark before writers wait.
    pub index_tail_messages: u64,
    /// Bytes that may lie above the index's watermark before writers wait.
    pub index_tail_bytes: u64,
    /// Messages of a store from which on the next batch goes into a new store.
    pub max_store_messages: u64,
    /// Calendar months after which new mail goes into a new store: 12 begins one every January. 0: only when it is full.
    pub new_store_months: u32,
    /// A part of at least so many bytes (decoded, where it is base64) is stored once for all messages that have it.
    pub share_from_bytes: u64,
    /// Size at which a pack is closed and the next one begun.
    pub max_pack_bytes: u64,
    /// Memory for decompressed blocks that neighbours share.
    pub block_cache_bytes: usize,
    /// Memory for folder columns (UID, date, size, flags) that sessions share.
    pub column_cache_bytes: usize,
    /// Folders of one archive tree, deepest level.
    pub max_folder_depth: usize,
    /// Longest folder name (one level), bytes of UTF-8.
    pub max_folder_name_bytes: usize,
    /// Time that one search may take.
    pub search_time_secs: u64,
    /// Memory in which the index writer collects terms before it writes them out; writing takes about as much again.
    pub index_memory_bytes: usize,
    /// Memory for the vocabularies that searches for parts of words look through; larger ones are read from disk.
    pub vocabulary_cache_bytes: usize,
    /// Memory for folded texts that searches have verified against.
    pub text_cache_bytes: usize,
    /// Memory for pages of store.redb.
    pub database_cache_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_message_bytes: 256 << 20,
            spool_above_bytes: 1 << 20,
            max_mime_depth: 100,
            max_mime_parts: 10_000,
            max_header_bytes: 1 << 20,
            max_text_bytes: 16 << 20,
            index_tail_messages: 5_000,
            index_tail_bytes: 64 << 20,
            max_store_messages: 500_000,
            new_store_months: 0,
            share_from_bytes: 4 << 10,
            max_pack_bytes: 1 << 30,
            block_cache_bytes: 32 << 20,
            column_cache_bytes: 32 << 20,
            max_folder_depth: 200,
            max_folder_name_bytes: 1_000,
            search_time_secs: 120,
            index_memory_bytes: 32 << 20,
            vocabulary_cache_bytes: 32 << 20,
            text_cache_bytes: 16 << 20,
            database_cache_bytes: 32 << 20,
        }
    }
}
