//! The configuration's values handed to the crates that they are for; no other crate reads the file.

use crate::data::Data;
use conf::Conf;
use std::path::Path;

/// Storage's bounds.
pub(crate) fn limits(conf: &Conf) -> storage::Limits {
    let Conf { storage, search, limits, .. } = conf;
    storage::Limits {
        max_message_bytes: limits.max_message_bytes,
        spool_above_bytes: storage.spool_above_bytes,
        max_mime_depth: limits.max_mime_depth,
        max_mime_parts: limits.max_mime_parts,
        max_header_bytes: limits.max_header_bytes,
        max_text_bytes: search.max_text_bytes,
        index_tail_messages: search.index_tail_messages,
        index_tail_bytes: search.index_tail_bytes,
        max_store_messages: storage.max_store_messages,
        new_store_months: storage.new_store_months,
        share_from_bytes: storage.share_from_bytes,
        max_pack_bytes: storage.max_pack_bytes,
        block_cache_bytes: storage.block_cache_bytes,
        column_cache_bytes: storage.column_cache_bytes,
        max_folder_depth: storage.max_folder_depth,
        max_folder_name_bytes: storage.max_folder_name_bytes,
        search_time_secs: search.time_limit_secs,
        index_memory_bytes: search.index_memory_bytes,
        vocabulary_cache_bytes: search.vocabulary_cache_bytes,
        text_cache_bytes: search.text_cache_bytes,
        database_cache_bytes: storage.database_cache_bytes,
    }
}

/// The IMAP server's settings.
pub(crate) fn imap(conf: &Conf) -> imapd::Settings {
    let imap = &conf.imap;
    imapd::Settings {
        imap: imap.listen.clone(),
        imaps: imap.listen_tls.clone(),
        plain_on_loopback: imap.plain_on_loopback,
        refuse_store: imap.refuse_store,
        all_mail: imap.all_mail,
        year_mailboxes_from: imap.year_mailboxes_from,
        metadata_comment: imap.metadata_comment.clone(),
        metadata_admin: imap.metadata_admin.clone(),
        max_line_before_login: imap.max_line_before_login_bytes,
        max_line: imap.max_line_bytes,
        max_literal_before_login: imap.max_literal_before_login_bytes,
        max_literal: imap.max_literal_bytes,
        max_bad_before_login: imap.max_bad_before_login,
        max_bad: imap.max_bad,
        command_timeout_secs: imap.command_timeout_secs,
        login_timeout_secs: imap.login_timeout_secs,
        idle_timeout_secs: imap.idle_timeout_secs,
        idle_keepalive_secs: imap.idle_keepalive_secs,
        message_limit: imap.message_limit,
        unauthenticate: imap.unauthenticate,
        max_connections_per_user: imap.max_connections_per_user,
        max_connections_per_address: imap.max_connections_per_address,
        max_before_login_per_address: imap.max_before_login_per_address,
        max_notify_mailboxes: imap.max_notify_mailboxes,
        max_searches: imap.max_searches,
        max_connections: imap.max_connections,
        max_at_work: imap.max_at_work,
        handshake_timeout_secs: imap.handshake_timeout_secs,
        write_timeout_secs: imap.write_timeout_secs,
        compress: imap.compress,
        compress_with_tls: imap.compress_with_tls,
        compress_level: imap.compress_level,
        proxy_from: imap.proxy_from.iter().map(|n| imapd::Network::new(n.address, n.prefix)).collect(),
        ..imapd::Settings::default()
    }
}

/// What checking and guessing passwords costs.
pub(crate) fn auth(conf: &Conf) -> auth::Settings {
    let auth = &conf.auth;
    let throttle = auth::throttle::Bounds {
        free_failures: auth.free_failures,
        max_delay_ms: auth.max_delay_secs.saturating_mul(1_000),
        ..auth::throttle::Bounds::default()
    };
    let successes = match conf.audit.logins {
        conf::Logins::Off => auth::Successes::Off,
        conf::Logins::Daily => auth::Successes::Daily,
        conf::Logins::All => auth::Successes::All,
    };
    auth::Settings {
        parallel_hashes: auth.parallel_hashes,
        remember_secs: auth.remember_secs,
        throttle,
        passwords: auth::PasswordRules {
            min_chars: auth.min_password_chars,
            refuse_common: auth.refuse_common_passwords,
        },
        hash_cost: auth::HashCost {
            memory_kib: auth.hash_memory_kib,
            passes: auth.hash_passes,
            lanes: auth.hash_lanes,
        },
        scram_iterations: auth.scram_iterations,
        allow_from: auth.allow_from.iter().map(|n| auth::Network::new(n.address, n.prefix)).collect(),
        logins: auth::LoginNotes { successes, failures: conf.audit.refused_logins },
    }
}

/// The issuer of tokens; none is configured: none.
pub(crate) fn oauth(conf: &Conf, data: &Data) -> Option<auth::OAuth> {
    let oauth = &conf.auth.oauth;
    if oauth.issuer.is_empty() {
        return None;
    }
    let algorithm = |name: &conf::Algorithm| match name {
        conf::Algorithm::Rs256 => auth::Algorithm::Rs256,
        conf::Algorithm::Ps256 => auth::Algorithm::Ps256,
        conf::Algorithm::Es256 => auth::Algorithm::Es256,
        conf::Algorithm::EdDsa => auth::Algorithm::EdDsa,
    };
    let file = |path: &Path| (!path.as_os_str().is_empty()).then(|| data.resolve(path));
    let jwks = match oauth.jwks.contains("://") {
        true => oauth.jwks.clone(),
        false => file(Path::new(&oauth.jwks)).map(|path| path.display().to_string()).unwrap_or_default(),
    };
    Some(auth::OAuth {
        issuer: oauth.issuer.clone(),
        audiences: oauth.audiences.clone(),
        clients: oauth.clients.clone(),
        user_claim: oauth.user_claim.clone(),
        user_is: match oauth.user_is {
            conf::UserIs::Address => auth::UserIs::Address,
            conf::UserIs::Name => auth::UserIs::Name,
        },
        algorithms: oauth.algorithms.iter().map(algorithm).collect(),
        skew_secs: oauth.skew_secs,
        jwks,
        ca: file(&oauth.ca),
        refresh_secs: oauth.refresh_secs,
        max_age_secs: oauth.max_age_secs,
        keep_secs: oauth.keep_secs,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The defaults stand in the configuration and in the crates; this keeps them the same.
    #[test]
    fn the_defaults_are_the_crates_own() {
        let conf = Conf::default();
        assert_eq!(format!("{:?}", limits(&conf)), format!("{:?}", storage::Limits::default()));
        assert_eq!(super::auth(&conf), auth::Settings::default());
        let mut conf = conf;
        assert_eq!(oauth(&conf, &Data::new("/data".into(), None)), None);
        conf.auth.oauth.issuer = "https://login.example.org".into();
        let issuer = conf.auth.oauth.issuer.clone();
        let expected = auth::OAuth { issuer, ..auth::OAuth::default() };
        assert_eq!(oauth(&conf, &Data::new("/data".into(), None)), Some(expected));
        let mut server = imap(&conf);
        server.imap.clear();
        server.imaps.clear();
        assert_eq!(format!("{server:?}"), format!("{:?}", imapd::Settings::default()));
    }
}
