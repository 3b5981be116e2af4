//! The range of every number in the configuration: what lies outside would make the program useless or unbounded.

use crate::{Conf, Error};
use std::path::Path;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;
const DAY_SECS: u64 = 86_400;

fn wide(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

impl Conf {
    /// Every number of the configuration: key, value, least, most.
    pub(crate) fn numbers(&self) -> [(&'static str, u64, u64, u64); 74] {
        let Conf {
            imap,
            keys,
            storage,
            search,
            attachments,
            limits,
            evidence,
            auth,
            control,
            verify,
            schedule,
            notify,
            metrics,
            ..
        } = self;
        [
            ("imap.max_line_before_login_bytes", wide(imap.max_line_before_login_bytes), KIB, MIB),
            ("imap.max_line_bytes", wide(imap.max_line_bytes), 8 * KIB, 16 * MIB),
            ("imap.max_literal_before_login_bytes", wide(imap.max_literal_before_login_bytes), KIB, MIB),
            ("imap.max_literal_bytes", wide(imap.max_literal_bytes), KIB, 16 * MIB),
            ("imap.max_bad_before_login", imap.max_bad_before_login.into(), 1, 1_000),
            ("imap.max_bad", imap.max_bad.into(), 1, 100_000),
            ("imap.command_timeout_secs", imap.command_timeout_secs, 1, DAY_SECS),
            ("imap.login_timeout_secs", imap.login_timeout_secs, 1, DAY_SECS),
            // RFC 9051 §5.4: an autologout timer MUST be at least 30 minutes.
            ("imap.idle_timeout_secs", imap.idle_timeout_secs, 1_800, DAY_SECS),
            ("imap.idle_keepalive_secs", imap.idle_keepalive_secs, 1, DAY_SECS),
            ("imap.max_connections_per_user", wide(imap.max_connections_per_user), 1, 1_000_000),
            ("imap.max_connections_per_address", wide(imap.max_connections_per_address), 1, 1_000_000),
            ("imap.max_before_login_per_address", wide(imap.max_before_login_per_address), 1, 1_000_000),
            ("imap.max_notify_mailboxes", wide(imap.max_notify_mailboxes), 1, 100_000),
            ("imap.max_searches", wide(imap.max_searches), 1, 1_024),
            ("imap.max_connections", wide(imap.max_connections), 1, 1_000_000),
            ("imap.max_at_work", wide(imap.max_at_work), 1, 256),
            ("imap.handshake_timeout_secs", imap.handshake_timeout_secs, 1, DAY_SECS),
            ("imap.write_timeout_secs", imap.write_timeout_secs, 1, DAY_SECS),
            ("imap.compress_level", imap.compress_level.into(), 1, 9),
            ("imap.year_mailboxes_from", imap.year_mailboxes_from, 0, 1_000_000_000),
            ("imap.message_limit", imap.message_limit, 0, u32::MAX.into()),
            ("storage.max_store_messages", storage.max_store_messages, 100, 100_000_000),
            ("storage.new_store_months", u64::from(storage.new_store_months), 0, 1_200),
            ("keys.command_timeout_secs", keys.command_timeout_secs, 1, 3_600),
            ("storage.max_pack_bytes", storage.max_pack_bytes, MIB, TIB),
            ("storage.share_from_bytes", storage.share_from_bytes, 256, GIB),
            ("storage.block_cache_bytes", wide(storage.block_cache_bytes), MIB, TIB),
            ("storage.column_cache_bytes", wide(storage.column_cache_bytes), MIB, TIB),
            ("storage.database_cache_bytes", wide(storage.database_cache_bytes), MIB, TIB),
            ("storage.spool_above_bytes", wide(storage.spool_above_bytes), 4 * KIB, GIB),
            ("storage.max_folder_depth", wide(storage.max_folder_depth), 2, 200),
            ("storage.max_folder_name_bytes", wide(storage.max_folder_name_bytes), 255, 1_000),
            ("search.time_limit_secs", search.time_limit_secs, 1, DAY_SECS),
            ("search.index_memory_bytes", wide(search.index_memory_bytes), 16 * MIB, 4 * GIB - 1),
            ("search.vocabulary_cache_bytes", wide(search.vocabulary_cache_bytes), MIB, TIB),
            ("search.text_cache_bytes", wide(search.text_cache_bytes), MIB, TIB),
            ("search.index_tail_messages", search.index_tail_messages, 1, 1_000_000),
            ("search.index_tail_bytes", search.index_tail_bytes, MIB, TIB),
            ("search.max_text_bytes", wide(search.max_text_bytes), KIB, GIB),
            ("limits.max_message_bytes", limits.max_message_bytes, KIB, 4 * GIB - 1),
            ("limits.max_mime_depth", wide(limits.max_mime_depth), 1, 1_000),
            ("limits.max_mime_parts", wide(limits.max_mime_parts), 1, 1_000_000),
            ("limits.max_header_bytes", wide(limits.max_header_bytes), KIB, 64 * MIB),
            ("evidence.every_hours", evidence.every_hours, 1, 8_760),
            ("evidence.timeout_secs", evidence.timeout_secs, 1, 3_600),
            ("auth.parallel_hashes", wide(auth.parallel_hashes), 1, 1_024),
            ("auth.remember_secs", auth.remember_secs, 0, DAY_SECS),
            ("auth.free_failures", auth.free_failures.into(), 1, 20),
            ("auth.max_delay_secs", auth.max_delay_secs, 1, 50),
            ("auth.min_password_chars", wide(auth.min_password_chars), 8, 200),
            ("auth.hash_memory_kib", auth.hash_memory_kib.into(), 1_024, 4 * MIB),
            ("auth.hash_passes", auth.hash_passes.into(), 1, 100),
            ("auth.hash_lanes", auth.hash_lanes.into(), 1, 64),
            ("auth.scram_iterations", auth.scram_iterations.into(), 0, 1_000_000),
            ("auth.oauth.skew_secs", auth.oauth.skew_secs, 0, 600),
            ("auth.oauth.refresh_secs", auth.oauth.refresh_secs, 1, 3_600),
            ("auth.oauth.max_age_secs", auth.oauth.max_age_secs, 60, 7 * DAY_SECS),
            ("auth.oauth.keep_secs", auth.oauth.keep_secs, 60, 30 * DAY_SECS),
            ("metrics.min_free_bytes", metrics.min_free_bytes, 0, TIB),
            ("control.max_request_bytes", wide(control.max_request_bytes), KIB, 16 * MIB),
            ("control.max_connections", wide(control.max_connections), 1, 10_000),
            ("verify.every_hours", verify.every_hours.into(), 0, 8_760),
            ("schedule.max_parallel", wide(schedule.max_parallel), 1, 64),
            ("notify.timeout_secs", notify.timeout_secs, 1, 3_600),
            ("verify.slices", verify.slices.into(), 1, 1_000),
            ("attachments.workers", wide(attachments.workers), 1, 256),
            ("attachments.time_limit_secs", attachments.time_limit_secs, 1, 3_600),
            ("attachments.memory_bytes", attachments.memory_bytes, 32 * MIB, TIB),
            ("attachments.max_file_bytes", attachments.max_file_bytes, KIB, 4 * GIB - 1),
            ("attachments.max_text_bytes", wide(attachments.max_text_bytes), KIB, GIB),
            ("attachments.max_inflated_bytes", attachments.max_inflated_bytes, MIB, TIB),
            ("attachments.max_archive_files", attachments.max_archive_files.into(), 1, 1_000_000),
            ("attachments.max_archive_depth", attachments.max_archive_depth.into(), 1, 100),
        ]
    }

    /// Checks every range, and what can't be told by a range.
    pub(crate) fn check(&self, path: &Path) -> Result<(), Error> {
        let outside =
            self.numbers().into_iter().find(|&(_, found, least, most)| found < least || found > most);
        if let Some((key, found, least, most)) = outside {
            return Err(Error::Range { path: path.to_owned(), key, found, least, most });
        }
        match self
            .imap
            .nonsense()
            .or_else(|| self.evidence.nonsense())
            .or_else(|| self.attachments.nonsense())
            .or_else(|| self.notify.nonsense())
            .or_else(|| self.auth.nonsense())
            .or_else(|| self.auth.oauth.nonsense())
        {
            Some((key, what)) => Err(Error::Value { path: path.to_owned(), key, what }),
            None => Ok(()),
        }
    }
}
