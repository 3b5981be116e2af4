//! The text of a new `mailkeep.toml`: every key with its default value, commented out.

/// What `init` writes; a test keeps every line of it true.
pub const TEMPLATE: &str = r#"# mailkeep's configuration. Every key stands here with its default value: remove the `#` before a line to change it.
# An unknown key or a value outside its range is an error that names its place. Restart mailkeep after a change.

[imap]
# Listeners that start without TLS (STARTTLS is offered) and with TLS. Mail clients of other machines need an address
# that they can reach, such as "0.0.0.0:993" or "[::]:993"; ports below 1024 need root or CAP_NET_BIND_SERVICE.
#listen = ["127.0.0.1:1143"]
#listen_tls = ["127.0.0.1:1993"]

# Take passwords without TLS from clients on this machine.
#plain_on_loopback = false

# The archive is read-only: changes of flags are ignored without a complaint, or refused with NO.
#refuse_store = false

# Every user has a mailbox `All Mail` with all messages of the own archive, so that phones can search everything at once.
#all_mail = true

# A folder of so many messages (such as 100000) has a mailbox for each year too, `Folder/2019`, for clients that choke on large ones. 0: none has.
#year_mailboxes_from = 0

# Messages that one FETCH, STORE or SEARCH is about, the highest UIDs first (MESSAGELIMIT, RFC 9738): 0 for all of them, or at least
# 1000. A client that doesn't know this extension takes the part that it gets for all there is.
#message_limit = 0

# UNAUTHENTICATE is offered (RFC 8437): one connection for several users, one after the other. Turn it off where a proxy decides who may log in.
#unauthenticate = true

# What clients may show of the server (METADATA): some words, and whom to turn to, as a URI ("mailto:postmaster@example.org").
#metadata_comment = ""
#metadata_admin = ""

# What one client may send and hold.
#max_line_before_login_bytes = 8192
#max_line_bytes = 65536
#max_literal_before_login_bytes = 4096
#max_literal_bytes = 65536
#max_bad_before_login = 3
#max_bad = 20
#command_timeout_secs = 60
#login_timeout_secs = 60
#idle_timeout_secs = 1800
#idle_keepalive_secs = 120
#max_connections_per_user = 250
#max_connections_per_address = 2000
#max_before_login_per_address = 50
# Mailboxes that one session watches by NOTIFY.
#max_notify_mailboxes = 5000
# Searches that read messages and run at once; one user has at most half of them, others wait their turn.
#max_searches = 4
# Connections in all, and sessions that work at once: each of these has a thread, the others wait their turn.
#max_connections = 20000
#max_at_work = 16
# Time for TLS to begin; time in which a client must have taken a piece of an answer.
#handshake_timeout_secs = 10
#write_timeout_secs = 300

# Clients may have answers compressed (COMPRESS=DEFLATE), also within TLS. Level 1 is fast, 9 small. Takes some 330 KiB
# of memory for each connection that does.
#compress = true
#compress_with_tls = true
#compress_level = 1

# Load balancers in front of mailkeep: connections from these addresses ("192.0.2.1", "10.0.0.0/8") must begin with a
# header of the PROXY protocol, 1 or 2; the address in it is the client's for limits and logs.
#proxy_from = []

[tls]
# PEM files; relative paths start at the data directory. The certificate that `init` makes is self-signed.
#certificate = "tls/cert.pem"
#key = "tls/key.pem"

[keys]
# Where the master key comes from: "environment" (MAILKEEP_MASTER_KEY), "credential" (systemd's mailkeep-master-key),
# "command", "file", or "auto": the first of these that is there. docs/keys.md says what speaks for each.
#from = "auto"
# The key file; a relative path starts at the data directory.
#file = "keys/master.key"
# A program with its arguments (no shell) that prints what the key file would hold: ["pass", "show", "mailkeep"]
#command = []
#command_timeout_secs = 30

[storage]
# A store with so many messages is full: new mail goes into a new one.
#max_store_messages = 500000
# 12 begins a new store every January, 3 every quarter, 1 every month; 0 only when one is full.
#new_store_months = 0
# A pack is closed at this size and the next one begun.
#max_pack_bytes = 1073741824
# A message's part (a text, an attachment) of at least so many bytes is stored once for all messages that have it.
#share_from_bytes = 4096
# Memory that all readers share.
#block_cache_bytes = 33554432
#column_cache_bytes = 33554432
#database_cache_bytes = 33554432
# Larger messages go to a temporary file while they are read.
#spool_above_bytes = 1048576
#max_folder_depth = 200
#max_folder_name_bytes = 1000

[search]
#time_limit_secs = 120
# Memory of the index's writer; it takes about twice this while it writes.
#index_memory_bytes = 33554432
# Memory that all searches share. A vocabulary that doesn't fit is read from disk by every search for a part of a word.
#vocabulary_cache_bytes = 33554432
#text_cache_bytes = 16777216
# How far the index may lag behind the archive before archiving waits for it (searches are complete all the same).
#index_tail_messages = 5000
#index_tail_bytes = 67108864
# Text of one message that is searched.
#max_text_bytes = 16777216

[attachments]
# Attachments whose text is searched; [] for none. What was read before stays as it is: mailkeep index rebuild --attachments
#types = ["pdf", "docx", "xlsx", "pptx", "odt", "ods", "odp", "rtf", "html", "plain", "csv", "ics", "vcf", "mail", "zip"]
# They are read by processes of their own, which may open no file. So many at once, each with so much memory, and so much time for one file:
#workers = 2
#memory_bytes = 167772160
#time_limit_secs = 30
# A larger file isn't read; more text than this of one file isn't searched. Both are told by mailkeep index status --failed.
#max_file_bytes = 33554432
#max_text_bytes = 4194304
# What archives and office documents may become, all that is in them together, and how many files may be in them, how deep.
#max_inflated_bytes = 268435456
#max_archive_files = 10000
#max_archive_depth = 4

[limits]
# A larger message is refused and stands as failed in the run's account; it is never cut.
#max_message_bytes = 268435456
# What lies deeper or beyond is archived as it is, but not taken apart.
#max_mime_depth = 100
#max_mime_parts = 10000
#max_header_bytes = 1048576

[evidence]
# Signed heads of the evidence logs (docs/evidence.md): a proof is worth as much as the heads that are kept elsewhere, where
# nobody who can write here can change them. Hours between two heads while the server runs:
#every_hours = 24
# A file to which each head is appended as a line of JSON, best on another machine's disk; relative paths start at the data
# directory. A program and its arguments, not run by a shell, which gets the lines on standard input. Mail, by a relay that
# takes it without a login ("mail.example.org:25"; no TLS: heads are no secret, and signed). What is empty isn't used.
#to_file = ""
#command = []
#mail_to = []
#mail_from = ""
#smtp_relay = ""
# Time that each of them may take.
#timeout_secs = 60

[auth]
# Passwords checked at once; each takes 19 MiB of memory, further logins wait.
#parallel_hashes = 4
# So long a password that was right is known without checking it anew. 0: never.
#remember_secs = 600
# Wrong passwords from one network, or of one account, that cost no delay; further ones cost more and more, up to this.
#free_failures = 5
#max_delay_secs = 20
# New passwords: fewest characters; whether those that everybody tries first, and the user's own name with little besides, are refused.
#min_password_chars = 8
#refuse_common_passwords = true
# What hashing a password costs (argon2id). Hashes that were made otherwise are renewed at the next login.
#hash_memory_kib = 19456
#hash_passes = 2
#hash_lanes = 1
# Iterations of SCRAM-SHA-256, at least 4096. 0: SCRAM is not offered.
#scram_iterations = 10000
# Networks from which logins are taken, such as "10.0.0.0/8" or "2001:db8::/32"; none named: from all.
#allow_from = []

[auth.oauth]
# An issuer of tokens (OpenID Connect) that mail clients may log in with: its URL, exactly as it stands in the tokens. Empty: none.
# docs/oauth.md has examples. Users must be here already.
#issuer = ""
# Tokens must be for one of these, and (unless it is empty) given to one of these clients.
#audiences = []
#clients = []
# The claim that names the user (email, preferred_username, upn, sub), and whether it is one of the user's addresses or the name.
#user_claim = "email"
#user_is = "address"
#algorithms = ["RS256", "PS256", "ES256", "EdDSA"]
# So far may the issuer's clock be away from ours.
#skew_secs = 60
# Where the issuer's keys are, an https URL or a file; empty: as its discovery document says. Relative paths start at the data directory.
#jwks = ""
# A PEM file of the authorities that are believed, in place of the system's.
#ca = ""
# The keys are fetched again at this age, and for an unknown key, but then not sooner than refresh_secs after the last time. While the
# issuer can't be reached they are used until they are keep_secs old.
#refresh_secs = 60
#max_age_secs = 3600
#keep_secs = 86400

[audit]
# Logins that stand in the audit log: "off", "daily" (a user's first of a day) or "all". Those of administrators and auditors always do.
#logins = "daily"
# Refused ones too; beyond 60 a minute they are only counted.
#refused_logins = true

[control]
# The socket that the command line talks to.
#max_request_bytes = 65536
#max_connections = 64
# A second socket for everybody on this machine, such as "/run/mailkeep/users.sock", in a directory that they can reach: who comes through it
# must log in (mailkeep --socket /run/mailkeep/users.sock --login alice …). "": there is none.
#users_socket = ""

[verify]
# A running server reads a slice of the archive again at intervals, and logs what is damaged: every 24 hours with 30 slices reads everything once a
# month. 0: it doesn't.
#every_hours = 0
#slices = 30

[schedule]
# Runs that are begun by themselves (profiles, and the jobs of `mailkeep schedule`) at once; profiles that wait all the time for
# new mail don't count.
#max_parallel = 2

[notify]
# Who is told when such a run fails: a program and its arguments, not run by a shell, which gets the words on standard input, and
# addresses, by a relay that takes mail without a login ("mail.example.org:25"; no TLS). What is empty isn't used.
#command = []
#mail_to = []
#mail_from = ""
#smtp_relay = ""
# Time that each of them may take.
#timeout_secs = 60

[metrics]
# An HTTP listener for /metrics (Prometheus), /health and /ready, such as "127.0.0.1:9143"; it has no password. Empty: none.
#listen = []
# With less room than this where the stores lie, /ready says no.
#min_free_bytes = 1073741824

[log]
# error, warn, info, debug, trace, or by crate: "info,imapd=debug".
#filter = "info"
# "text" for people, "json" for machines; both on standard error.
#format = "text"
"#;
