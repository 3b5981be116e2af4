//! Every command × every privilege × every level × every kind of user, against what is written down here by hand.
//!
//! The table has to be complete for this to compile; what is expected is worked out from a user's description alone, without asking
//! what is tested.

use super::needs::{Refusal, decide};
use super::*;
use archiver::profile::{self, Profile};
use archiver::schedule::{Job, Task, Timing};
use auth::{ArchiveAccess, AuditFilter, Auth, Edit, Level, NewUser, Privilege, Right, Subject};
use redb::Database;
use redb::backends::InMemoryBackend;
use std::sync::Arc;
use zeroize::Zeroizing;

use Privilege::{
    Admin, Archive as MayArchive, Auditor, ChangePassword, Delete, Export, Imap, Login, Modify,
    ModifyArchiveProfiles, ModifyExportProfiles,
};

const ALL: [Privilege; 11] = [
    Login,
    Imap,
    ChangePassword,
    Admin,
    Modify,
    Delete,
    MayArchive,
    ModifyArchiveProfiles,
    Export,
    ModifyExportProfiles,
    Auditor,
];

/// What is expected to be needed.
struct Rule {
    /// One of these.
    one_of: &'static [Privilege],
    /// This level on `bob/F`.
    on_folder: Level,
    /// To read everything.
    on_all: bool,
    /// Only on the server, as its owner or root.
    near: bool,
}

const fn rule(one_of: &'static [Privilege]) -> Rule {
    Rule { one_of, on_folder: Level::None, on_all: false, near: false }
}

const ADMIN: Rule = rule(&[Admin]);
const ADMIN_NEAR: Rule = Rule { near: true, ..ADMIN };
const OWN: Rule = rule(&[Admin, ChangePassword]);
const ANYONE: Rule = rule(&[Login]);
const READER: Rule = Rule { on_folder: Level::Read, ..ANYONE };
const LOOKS_ON: Rule = rule(&[Admin, Auditor]);
const PROFILES: Rule = rule(&[ModifyArchiveProfiles]);
const MOVES: Rule = Rule { on_folder: Level::Write, ..rule(&[Modify]) };
const DELETES: Rule = Rule { on_folder: Level::Delete, ..rule(&[Delete]) };

macro_rules! table {
    ($($variant:ident: $($sample:expr => $rule:expr),+;)*) => {
        /// Every command, in all forms whose rules differ.
        fn table() -> Vec<(Command, Rule)> {
            vec![$($((Command::$variant($sample), $rule)),+),*]
        }
        /// A new command doesn't compile before it stands in the table.
        #[expect(dead_code, reason = "its match is the point")]
        fn is_complete(command: &Command) {
            match command {
                $(Command::$variant(_) => {})*
            }
        }
    };
}

fn f() -> String {
    "bob/F".into()
}
fn text() -> String {
    "x".into()
}
fn path() -> std::path::PathBuf {
    "/x".into()
}
fn secret() -> Secret {
    Secret(Zeroizing::new("x".into()))
}
fn choice() -> Choice {
    Choice { folder: f(), uids: None, search: None }
}
fn profile(on_disk: bool) -> Box<Profile> {
    let path = on_disk.then(path);
    Box::new(Profile { path, ..Profile::new("x", profile::Kind::Imap) })
}
fn edit_profile(on_disk: Option<bool>, flag: bool) -> ProfileEdit {
    let mut flags = Box::<crate::cli::profile::Flags>::default();
    flags.path = flag.then(path);
    ProfileEdit { name: text(), profile: on_disk.map(profile), flags, secret: None }
}
fn search(folder: Option<String>) -> Search {
    Search { archives: vec![], query: text(), folder, limit: None, count: true, snippets: false }
}
fn prove(place: bool, head: bool) -> EvidenceProve {
    EvidenceProve { place: place.then(|| (f(), 1)), message: (!place).then(text), head: head.then(path) }
}
fn job() -> Job {
    Job { name: text(), task: Task::Index, timing: Timing::default() }
}

table! {
    UserAdd: UserAdd { name: text(), password: None, privileges: vec![], edit: Edit::default() } => ADMIN;
    UserList: UserList {} => ANYONE;
    UserShow: UserShow { name: text() } => ANYONE;
    UserPassword: UserPassword { name: text(), password: secret() } => ADMIN;
    UserRights: UserRights { name: text(), give: true, privileges: vec![], read: vec![f()], folders: vec![] } => ADMIN;
    UserRemove: UserRemove { name: text() } => ADMIN;
    UserAddress: UserAddress { name: text(), add: vec![], remove: vec![] } => ADMIN;
    UserEdit: UserEdit { name: text(), edit: Edit::default(), add_groups: vec![], remove_groups: vec![] } => ADMIN;
    UserRename: UserRename { name: text(), new: text() } => ADMIN;
    UserImport: UserImport { file: path(), columns: vec![], update: false, dry_run: true } => ADMIN_NEAR;
    OwnPassword: OwnPassword { password: secret() } => rule(&[ChangePassword]);
    AppPasswordCreate: AppPasswordCreate { name: text(), label: text() } => OWN;
    AppPasswordList: AppPasswordList { name: text() } => OWN;
    AppPasswordRevoke: AppPasswordRevoke { name: text(), which: text() } => OWN;
    UserTotp: UserTotp { name: text(), what: Factor::Enable, code: None } => OWN,
        UserTotp { name: text(), what: Factor::Disable, code: None } => OWN;
    UserDoor: UserDoor { name: text(), allow_from: None, must_change: None } => ADMIN;
    UserLogins: UserLogins { name: text() } => OWN;
    SessionList: SessionList {} => ADMIN;
    SessionKill: SessionKill { session: Some(u64::MAX), user: None } => ADMIN;
    GroupList: GroupList {} => ADMIN;
    GroupRights: GroupRights { group: text(), give: true, folders: vec![] } => ADMIN;
    AccessShow: AccessShow {} => LOOKS_ON;
    AccessSet: AccessSet { open: None } => ADMIN;
    Archive: Archive { path: path(), into: f(), format: None, deleted_too: false }
        => Rule { on_folder: Level::Write, near: true, ..rule(&[MayArchive]) };
    Runs: Runs {} => ANYONE;
    RunShow: RunShow { id: None } => ANYONE;
    RunItems: RunItems { id: None, which: Which::Failed } => ANYONE;
    RunsOpen: RunsOpen {} => ANYONE;
    RunLog: RunLog { id: None } => ANYONE;
    RunRetry: RunRetry { id: None } => rule(&[MayArchive]);
    Folders: Folders { user: None } => ANYONE, Folders { user: Some("bob".into()) } => ANYONE;
    FolderMove: FolderMove { from: f(), to: f() } => MOVES;
    FolderMerge: FolderMerge { from: f(), into: f() } => MOVES;
    FolderDelete: FolderDelete { folder: f(), with_messages: false, yes: true } => MOVES,
        FolderDelete { folder: f(), with_messages: true, yes: true } => DELETES;
    FolderComment: FolderComment { folder: f(), text: None } => READER,
        FolderComment { folder: f(), text: Some(text()) } => MOVES;
    MessageMove: MessageMove { which: choice(), to: f(), dry_run: true } => MOVES;
    MessageDelete: MessageDelete { which: choice(), dry_run: true, yes: false } => DELETES;
    Search: search(None) => ANYONE, search(Some(f())) => READER;
    Cat: Cat { folder: f(), uid: 1 } => READER;
    StoreCompact: StoreCompact { store: None, dry_run: true } => ADMIN;
    StoreList: StoreList {} => ADMIN;
    StoreStats: StoreStats { store: None } => ADMIN;
    StoreCreate: StoreCreate { name: None, path: None } => ADMIN,
        StoreCreate { name: None, path: Some(path()) } => ADMIN_NEAR;
    StoreAttach: StoreAttach { dir: path(), key: None } => ADMIN_NEAR;
    StoreDetach: StoreDetach { store: text() } => ADMIN;
    StoreState: StoreState { store: text(), state: storage::StoreState::Normal } => ADMIN;
    StoreRename: StoreRename { store: text(), name: text() } => ADMIN;
    StoreRetry: StoreRetry { store: None } => ADMIN;
    StoreRebuild: StoreRebuild { store: None, accept_loss: false, new_master: false } => ADMIN;
    EvidenceHead: EvidenceHead { store: None, bare: false } => LOOKS_ON;
    EvidenceProve: prove(true, false) => READER,
        prove(true, true) => Rule { near: true, ..READER },
        prove(false, false) => Rule { on_all: true, ..ANYONE },
        prove(false, true) => Rule { on_all: true, near: true, ..ANYONE };
    EvidenceConsistency: EvidenceConsistency { old: path(), new: None, bare: false } => Rule { near: true, ..LOOKS_ON };
    EvidenceSend: EvidenceSend {} => ADMIN;
    Backup: Backup { dir: path(), with_key: false, verify_all: false } => ADMIN_NEAR;
    KeyShow: KeyShow {} => ADMIN;
    KeyExport: KeyExport {} => ADMIN_NEAR;
    KeyRotate: KeyRotate { output: None } => ADMIN_NEAR;
    IndexRebuild: IndexRebuild { store: None, attachments: false } => ADMIN;
    IndexStatus: IndexStatus {} => ADMIN;
    IndexFailed: IndexFailed {} => ANYONE;
    Verify: Verify { store: None, sample: None, resume: false } => ADMIN;
    VerifyLast: VerifyLast {} => ADMIN;
    TlsReload: TlsReload {} => ADMIN;
    DirectorySet: DirectorySet { directory: None, flags: Box::default(), password: None } => ADMIN_NEAR;
    DirectoryShow: DirectoryShow {} => ADMIN;
    DirectoryTest: DirectoryTest { login: None } => ADMIN;
    DirectorySync: DirectorySync { dry_run: true, accept_loss: false } => ADMIN;
    DirectoryRemove: DirectoryRemove {} => ADMIN;
    ImapTrace: ImapTrace { user: f(), minutes: 1 } => Rule { on_folder: Level::Read, ..ADMIN };
    ProfileCreate: ProfileCreate { profile: profile(false), secret: None } => PROFILES,
        ProfileCreate { profile: profile(true), secret: None } => Rule { near: true, ..PROFILES };
    ProfileEdit: edit_profile(None, false) => PROFILES,
        edit_profile(Some(false), false) => PROFILES,
        edit_profile(Some(true), false) => Rule { near: true, ..PROFILES },
        edit_profile(None, true) => Rule { near: true, ..PROFILES };
    ProfileList: ProfileList {} => rule(&[ModifyArchiveProfiles, MayArchive]);
    ProfileShow: ProfileShow { name: text() } => rule(&[ModifyArchiveProfiles, MayArchive]);
    ProfileTest: ProfileTest { name: text() } => PROFILES;
    ProfileRun: ProfileRun { name: text(), dry_run: false } => rule(&[MayArchive]);
    ProfileDelete: ProfileDelete { name: text() } => PROFILES;
    ProfileExport: ProfileExport { names: vec![], secrets: false } => PROFILES,
        ProfileExport { names: vec![], secrets: true } => ADMIN_NEAR;
    ProfileImport: ProfileImport { file: path(), replace: false } => Rule { near: true, ..PROFILES };
    ScheduleList: ScheduleList {} => ADMIN;
    ScheduleAdd: ScheduleAdd { job: job() } => ADMIN_NEAR;
    ScheduleRemove: ScheduleRemove { name: text() } => ADMIN;
    Jobs: Jobs {} => ANYONE;
    JobCancel: JobCancel { id: 1 } => ANYONE;
    AuditLog: AuditLog { last: 1, filter: AuditFilter::default(), newest_first: false } => LOOKS_ON;
    AuditExport: AuditExport { filter: AuditFilter::default(), dir: None } => LOOKS_ON,
        AuditExport { filter: AuditFilter::default(), dir: Some(path()) } => Rule { near: true, ..LOOKS_ON };
    AuditVerify: AuditVerify { head: None } => LOOKS_ON,
        AuditVerify { head: Some(path()) } => Rule { near: true, ..LOOKS_ON };
    AuditHead: AuditHeadNow {} => LOOKS_ON;
}

/// A user, as the test knows one.
#[derive(Debug, Clone)]
struct Person {
    name: String,
    privileges: Vec<Privilege>,
    /// On `bob/F`; the own archive isn't in the table.
    level: Level,
    disabled: bool,
    expired: bool,
}

/// What is expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    Allowed,
    /// In words that tell of no folder.
    Denied,
    /// The folder is seen; more isn't allowed.
    DeniedThere,
    /// The words for a folder that isn't there.
    Missing,
}

impl Person {
    fn is_here(&self) -> bool {
        !self.disabled && !self.expired && self.privileges.contains(&Login)
    }
    fn is(&self, privilege: Privilege) -> bool {
        self.privileges.contains(&privilege)
    }
    fn has(&self, wanted: Privilege) -> bool {
        let by_admin =
            [MayArchive, ModifyArchiveProfiles, ModifyExportProfiles].contains(&wanted) && self.is(Admin);
        let kept = !self.is(Auditor) || [Login, Imap, ChangePassword, Auditor].contains(&wanted);
        self.is_here() && kept && (self.is(wanted) || by_admin)
    }
    fn reads_all(&self, open: bool) -> bool {
        self.is_here() && (self.is(Auditor) || (self.is(Admin) && open))
    }
    fn level(&self, open: bool) -> Level {
        match (self.is_here(), self.is(Auditor), self.reads_all(open)) {
            (false, ..) => Level::None,
            (true, true, _) => Level::Read,
            (true, false, true) => self.level.max(Level::Read),
            (true, false, false) => self.level,
        }
    }
    fn expected(&self, rule: &Rule, near: bool, open: bool) -> Expected {
        if !rule.one_of.iter().any(|&one| self.has(one)) || (rule.near && !near) {
            return Expected::Denied;
        }
        if rule.on_all {
            return if self.reads_all(open) { Expected::Allowed } else { Expected::Denied };
        }
        match self.level(open) {
            level if level >= rule.on_folder => Expected::Allowed,
            Level::None => Expected::Missing,
            _ => Expected::DeniedThere,
        }
    }
}

fn found(decided: &Result<(), Refusal>) -> Expected {
    match decided {
        Ok(()) => Expected::Allowed,
        Err(refusal) if refusal.told == mail::missing("bob/F") => Expected::Missing,
        Err(Refusal { told, .. }) if told.message.contains("bob/F") => Expected::DeniedThere,
        Err(_) => Expected::Denied,
    }
}

fn users() -> Auth {
    Auth::open(Arc::new(Database::builder().create_with_backend(InMemoryBackend::new()).unwrap())).unwrap()
}

fn now() -> i64 {
    time::OffsetDateTime::now_utc().unix_timestamp()
}

fn make(auth: &Auth, person: &Person) {
    let expires = Some(if person.expired { now() - 10 } else { now() + 100_000 });
    let edit = Edit { disabled: Some(person.disabled), expires, ..Edit::default() };
    let new = NewUser { name: person.name.clone(), edit, ..NewUser::default() };
    let kept = auth.create(&new).unwrap().privileges;
    for privilege in ALL {
        if kept.contains(&privilege) != person.is(privilege) {
            auth.set_privilege(&person.name, privilege, person.is(privilege)).unwrap();
        }
    }
    if person.level != Level::None {
        auth.set_right(&person.name, "bob/F", Some(person.level)).unwrap();
    }
}

/// No privilege, each alone and with `login`, all, and an auditor with all.
fn privileges() -> Vec<Vec<Privilege>> {
    let with_login = ALL[1..].iter().map(|&one| vec![Login, one]);
    let alone = ALL.iter().map(|&one| vec![one]);
    let all_but_auditor = ALL[..10].to_vec();
    std::iter::once(vec![]).chain(alone).chain(with_login).chain([all_but_auditor, ALL.to_vec()]).collect()
}

#[test]
fn every_command_for_every_user() {
    let auth = users();
    let mut people = Vec::new();
    for privileges in privileges() {
        for level in [Level::None, Level::Read, Level::Write, Level::Delete] {
            for (disabled, expired) in [(false, false), (true, false), (false, true)] {
                let name = format!("user {}", people.len());
                let person = Person { name, privileges: privileges.clone(), level, disabled, expired };
                make(&auth, &person);
                people.push(person);
            }
        }
    }
    let table = table();
    let mut seen = std::collections::BTreeMap::new();
    for open in [false, true] {
        let open_until = open.then(|| now() + 100_000);
        auth.set_archive_access(&ArchiveAccess { open_until, reason: "asked".into() }).unwrap();
        for (command, rule) in &table {
            let needs = command.act().needs();
            for (person, near) in people.iter().flat_map(|person| [(person, false), (person, true)]) {
                let caller = Caller::user(&person.name, "test".into(), near);
                let (wanted, found) =
                    (person.expected(rule, near, open), found(&decide(&auth, &caller, &needs)));
                assert_eq!(
                    found,
                    wanted,
                    "{} by {person:?}, near {near}, open {open}",
                    command.act().audit()
                );
                *seen.entry(format!("{found:?}")).or_insert(0) += 1;
            }
            let own = decide(&auth, &Caller::local(0, "socket"), &needs);
            assert_eq!(own, Ok(()), "{}: the machine's own people may all", command.act().audit());
        }
        let nobody = Caller::user("nobody", "test".into(), true);
        assert!(table.iter().all(|(command, _)| decide(&auth, &nobody, &command.act().needs()).is_err()));
    }
    assert!(seen.len() == 4 && seen.values().all(|&count| count > 50), "{seen:?}");
}

#[test]
fn a_tree_with_something_carved_out_is_moved_and_deleted_by_nobody() {
    let auth = users();
    let person = Person {
        name: "al".into(),
        privileges: vec![Login, Modify, Delete],
        level: Level::Delete,
        disabled: false,
        expired: false,
    };
    make(&auth, &person);
    auth.set_right("al", "bob/F/secret", Some(Level::None)).unwrap();
    auth.set_right("al", "bob/F/kept", Some(Level::Write)).unwrap();
    let al = Caller::user("al", "test".into(), true);
    let decided = |command: &dyn Act| found(&decide(&auth, &al, &command.needs()));
    let to = |from: &str, to: &str| FolderMove { from: from.into(), to: to.into() };
    assert_eq!(decided(&to("bob/F", "bob/F")), Expected::DeniedThere);
    assert_eq!(decided(&to("bob/F/a", "bob/F/b")), Expected::Allowed);
    assert_eq!(decided(&to("bob/F/kept", "bob/F/b")), Expected::Allowed);
    assert_eq!(decided(&FolderDelete { folder: f(), with_messages: true, yes: true }), Expected::DeniedThere);
    let kept = FolderDelete { folder: "bob/F/kept".into(), with_messages: true, yes: true };
    assert_eq!(decided(&kept), Expected::DeniedThere, "write isn't delete");
    assert_eq!(decided(&MessageDelete { which: choice(), dry_run: false, yes: true }), Expected::Allowed);
    let secret = Cat { folder: "bob/F/secret".into(), uid: 1 };
    let refusal = decide(&auth, &al, &secret.needs()).unwrap_err();
    assert_eq!(refusal.told, mail::missing("bob/F/secret"), "as if it weren't there");
    assert!(refusal.noted.starts_with("denied"), "{}", refusal.noted);
}

#[test]
fn what_is_no_path_is_refused_alike_to_all() {
    let auth = users();
    for bad in ["", "/", "bob//F", "bob/\0", &"x".repeat(5_000)] {
        let cat = Cat { folder: bad.into(), uid: 1 };
        let person = Caller::user("nobody", "test".into(), true);
        assert!(decide(&auth, &person, &cat.needs()).is_err());
        let own = decide(&auth, &Caller { subject: Subject::Operator, ..person }, &cat.needs()).unwrap_err();
        assert_eq!(own.told.kind, Kind::Usage, "{bad:?}");
    }
    assert!(Right::new("bob//F", Level::Read).is_err());
}
