//! Every management function is one command: a name, typed parameters, the privilege it needs, a line for the audit
//! log, and a result. The server runs it for the socket's clients, the command line runs it in-process: the same code.
//!
//! Invariant: [`run`] is the only way to a command's work; it decides whether the caller may, and it writes the audit
//! log whatever the end was.

mod archive;
mod audit;
mod audited;
mod backup;
mod changes;
mod compact;
mod credentials;
mod directory;
mod event;
mod evidence;
mod index;
mod keys;
mod mail;
#[cfg(test)]
mod matrix;
mod needs;
mod people;
mod profiles;
mod query;
mod rebuild;
mod runs;
mod schedule;
mod search;
mod serving;
mod stores;
mod users;
mod verify;

pub(crate) use archive::Archive;
pub(crate) use audit::{AuditExport, AuditHeadNow, AuditLog, AuditVerify};
pub(crate) use backup::{Backup, Report as BackupReport};
pub(crate) use changes::{
    Choice, FolderComment, FolderDelete, FolderMerge, FolderMove, MessageDelete, MessageMove,
    Report as ChangeReport,
};
pub(crate) use compact::StoreCompact;
pub(crate) use credentials::{
    AppPasswordCreate, AppPasswordList, AppPasswordRevoke, Factor, SessionKill, SessionList, UserDoor,
    UserLogins, UserTotp,
};
pub(crate) use directory::{DirectoryRemove, DirectorySet, DirectoryShow, DirectorySync, DirectoryTest};
pub(crate) use event::{Context, Event, Failure, Kind, Outcome, Progress, Unit};
pub(crate) use evidence::{EvidenceConsistency, EvidenceHead, EvidenceProve, EvidenceSend};
pub(crate) use index::{IndexFailed, IndexRebuild, IndexStatus};
pub(crate) use keys::{KeyExport, KeyRotate, KeyShow, Report as KeyReport};
pub(crate) use mail::{Cat, Folders};
pub(crate) use people::{
    AccessSet, AccessShow, GroupList, GroupRights, MAX_ACCESS_HOURS, Meaning, Open, OwnPassword, UserEdit,
    UserImport, UserRename, day,
};
pub(crate) use profiles::{
    ProfileCreate, ProfileDelete, ProfileEdit, ProfileExport, ProfileImport, ProfileList, ProfileRun,
    ProfileShow, ProfileTest,
};
pub(crate) use rebuild::StoreRebuild;
pub(crate) use runs::{RunItems, RunLog, RunRetry, RunShow, Runs, RunsOpen, Which};
pub(crate) use schedule::{JobCancel, Jobs, ScheduleAdd, ScheduleList, ScheduleRemove};
pub(crate) use search::Search;
pub(crate) use serving::{ImapTrace, TlsReload};
pub(crate) use stores::{
    StoreAttach, StoreCreate, StoreDetach, StoreList, StoreRename, StoreRetry, StoreState, StoreStats,
};
pub(crate) use users::{
    Secret, UserAdd, UserAddress, UserList, UserPassword, UserRemove, UserRights, UserShow,
};
pub(crate) use verify::{Verify, VerifyLast};

use auth::Subject;
pub(crate) use needs::Needs;
use serde::{Deserialize, Serialize};

/// Who gives a command.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// For the audit log and the ledger.
    pub(crate) who: String,
    /// `socket`, `in-process`, `schedule`, or the users' socket with the system's user.
    pub(crate) from: String,
    /// Who that is for the one decision.
    pub(crate) subject: Subject,
    /// On the server, as the owner of DATA or root: could read its files, and be told its keys, anyway.
    pub(crate) near: bool,
}

impl Caller {
    /// The owner of DATA or root on this machine, who holds the master key: may everything, without a password.
    pub(crate) fn local(uid: u32, from: &str) -> Caller {
        let who = format!("local:{}", crate::who::name(uid));
        Caller { who, from: from.to_owned(), subject: Subject::Operator, near: true }
    }
    /// A user whose login was checked.
    pub(crate) fn user(name: &str, from: String, near: bool) -> Caller {
        Caller { who: name.to_owned(), from, subject: Subject::User(name.to_owned()), near }
    }
}

/// What a command is and does.
pub(crate) trait Act {
    /// What whoever gives it needs. There is no usual answer: who makes a command thinks about it.
    fn needs(&self) -> Needs;
    /// Name and parameters for the audit log, without secrets.
    fn audit(&self) -> String;
    /// Does it.
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure>;
}

/// A command with its parameters, as it goes over the socket.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "command", content = "params")]
pub(crate) enum Command {
    #[serde(rename = "user.add")]
    UserAdd(UserAdd),
    #[serde(rename = "user.list")]
    UserList(UserList),
    #[serde(rename = "user.show")]
    UserShow(UserShow),
    #[serde(rename = "user.password")]
    UserPassword(UserPassword),
    #[serde(rename = "user.rights")]
    UserRights(UserRights),
    #[serde(rename = "user.remove")]
    UserRemove(UserRemove),
    #[serde(rename = "archive.files")]
    Archive(Archive),
    #[serde(rename = "runs.list")]
    Runs(Runs),
    #[serde(rename = "runs.show")]
    RunShow(RunShow),
    #[serde(rename = "runs.items")]
    RunItems(RunItems),
    #[serde(rename = "folder.list")]
    Folders(Folders),
    #[serde(rename = "folder.move")]
    FolderMove(FolderMove),
    #[serde(rename = "folder.merge")]
    FolderMerge(FolderMerge),
    #[serde(rename = "folder.delete")]
    FolderDelete(FolderDelete),
    #[serde(rename = "folder.comment")]
    FolderComment(FolderComment),
    #[serde(rename = "message.move")]
    MessageMove(MessageMove),
    #[serde(rename = "message.delete")]
    MessageDelete(MessageDelete),
    #[serde(rename = "mail.search")]
    Search(Search),
    #[serde(rename = "mail.cat")]
    Cat(Cat),
    #[serde(rename = "store.compact")]
    StoreCompact(StoreCompact),
    #[serde(rename = "store.list")]
    StoreList(StoreList),
    #[serde(rename = "store.stats")]
    StoreStats(StoreStats),
    #[serde(rename = "store.create")]
    StoreCreate(StoreCreate),
    #[serde(rename = "store.attach")]
    StoreAttach(StoreAttach),
    #[serde(rename = "store.detach")]
    StoreDetach(StoreDetach),
    #[serde(rename = "store.state")]
    StoreState(StoreState),
    #[serde(rename = "store.rename")]
    StoreRename(StoreRename),
    #[serde(rename = "store.retryOpen")]
    StoreRetry(StoreRetry),
    #[serde(rename = "evidence.head")]
    EvidenceHead(EvidenceHead),
    #[serde(rename = "evidence.prove")]
    EvidenceProve(EvidenceProve),
    #[serde(rename = "evidence.consistency")]
    EvidenceConsistency(EvidenceConsistency),
    #[serde(rename = "evidence.send")]
    EvidenceSend(EvidenceSend),
    #[serde(rename = "backup.make")]
    Backup(Backup),
    #[serde(rename = "key.show")]
    KeyShow(KeyShow),
    #[serde(rename = "key.export")]
    KeyExport(KeyExport),
    #[serde(rename = "key.rotate")]
    KeyRotate(KeyRotate),
    #[serde(rename = "store.rebuild")]
    StoreRebuild(StoreRebuild),
    #[serde(rename = "index.rebuild")]
    IndexRebuild(IndexRebuild),
    #[serde(rename = "index.status")]
    IndexStatus(IndexStatus),
    #[serde(rename = "index.failed")]
    IndexFailed(IndexFailed),
    #[serde(rename = "verify.run")]
    Verify(Verify),
    #[serde(rename = "verify.last")]
    VerifyLast(VerifyLast),
    #[serde(rename = "tls.reload")]
    TlsReload(TlsReload),
    #[serde(rename = "imap.trace")]
    ImapTrace(ImapTrace),
    #[serde(rename = "user.address")]
    UserAddress(UserAddress),
    #[serde(rename = "profile.create")]
    ProfileCreate(ProfileCreate),
    #[serde(rename = "profile.edit")]
    ProfileEdit(ProfileEdit),
    #[serde(rename = "profile.list")]
    ProfileList(ProfileList),
    #[serde(rename = "profile.show")]
    ProfileShow(ProfileShow),
    #[serde(rename = "profile.test")]
    ProfileTest(ProfileTest),
    #[serde(rename = "profile.run")]
    ProfileRun(ProfileRun),
    #[serde(rename = "profile.delete")]
    ProfileDelete(ProfileDelete),
    #[serde(rename = "profile.export")]
    ProfileExport(ProfileExport),
    #[serde(rename = "profile.import")]
    ProfileImport(ProfileImport),
    #[serde(rename = "runs.open")]
    RunsOpen(RunsOpen),
    #[serde(rename = "runs.log")]
    RunLog(RunLog),
    #[serde(rename = "runs.retry")]
    RunRetry(RunRetry),
    #[serde(rename = "schedule.list")]
    ScheduleList(ScheduleList),
    #[serde(rename = "schedule.add")]
    ScheduleAdd(ScheduleAdd),
    #[serde(rename = "schedule.remove")]
    ScheduleRemove(ScheduleRemove),
    #[serde(rename = "jobs.list")]
    Jobs(Jobs),
    #[serde(rename = "jobs.cancel")]
    JobCancel(JobCancel),
    #[serde(rename = "audit.list")]
    AuditLog(AuditLog),
    #[serde(rename = "user.edit")]
    UserEdit(UserEdit),
    #[serde(rename = "user.rename")]
    UserRename(UserRename),
    #[serde(rename = "user.import")]
    UserImport(UserImport),
    #[serde(rename = "user.ownPassword")]
    OwnPassword(OwnPassword),
    #[serde(rename = "group.list")]
    GroupList(GroupList),
    #[serde(rename = "group.rights")]
    GroupRights(GroupRights),
    #[serde(rename = "access.show")]
    AccessShow(AccessShow),
    #[serde(rename = "access.set")]
    AccessSet(AccessSet),
    #[serde(rename = "directory.set")]
    DirectorySet(DirectorySet),
    #[serde(rename = "directory.show")]
    DirectoryShow(DirectoryShow),
    #[serde(rename = "directory.test")]
    DirectoryTest(DirectoryTest),
    #[serde(rename = "directory.sync")]
    DirectorySync(DirectorySync),
    #[serde(rename = "directory.remove")]
    DirectoryRemove(DirectoryRemove),
    #[serde(rename = "user.appPasswordCreate")]
    AppPasswordCreate(AppPasswordCreate),
    #[serde(rename = "user.appPasswordList")]
    AppPasswordList(AppPasswordList),
    #[serde(rename = "user.appPasswordRevoke")]
    AppPasswordRevoke(AppPasswordRevoke),
    #[serde(rename = "user.totp")]
    UserTotp(UserTotp),
    #[serde(rename = "user.door")]
    UserDoor(UserDoor),
    #[serde(rename = "user.logins")]
    UserLogins(UserLogins),
    #[serde(rename = "session.list")]
    SessionList(SessionList),
    #[serde(rename = "session.kill")]
    SessionKill(SessionKill),
    #[serde(rename = "audit.export")]
    AuditExport(AuditExport),
    #[serde(rename = "audit.verify")]
    AuditVerify(AuditVerify),
    #[serde(rename = "audit.head")]
    AuditHead(AuditHeadNow),
}

impl Command {
    fn act(&self) -> &dyn Act {
        match self {
            Command::UserAdd(c) => c,
            Command::UserList(c) => c,
            Command::UserShow(c) => c,
            Command::UserPassword(c) => c,
            Command::UserRights(c) => c,
            Command::UserRemove(c) => c,
            Command::Archive(c) => c,
            Command::Runs(c) => c,
            Command::RunShow(c) => c,
            Command::RunItems(c) => c,
            Command::Folders(c) => c,
            Command::FolderMove(c) => c,
            Command::FolderMerge(c) => c,
            Command::FolderDelete(c) => c,
            Command::FolderComment(c) => c,
            Command::MessageMove(c) => c,
            Command::MessageDelete(c) => c,
            Command::Search(c) => c,
            Command::Cat(c) => c,
            Command::StoreCompact(c) => c,
            Command::StoreList(c) => c,
            Command::StoreStats(c) => c,
            Command::StoreCreate(c) => c,
            Command::StoreAttach(c) => c,
            Command::StoreDetach(c) => c,
            Command::StoreState(c) => c,
            Command::StoreRename(c) => c,
            Command::StoreRetry(c) => c,
            Command::EvidenceHead(c) => c,
            Command::EvidenceProve(c) => c,
            Command::EvidenceConsistency(c) => c,
            Command::EvidenceSend(c) => c,
            Command::Backup(c) => c,
            Command::KeyShow(c) => c,
            Command::KeyExport(c) => c,
            Command::KeyRotate(c) => c,
            Command::StoreRebuild(c) => c,
            Command::IndexRebuild(c) => c,
            Command::IndexStatus(c) => c,
            Command::IndexFailed(c) => c,
            Command::Verify(c) => c,
            Command::VerifyLast(c) => c,
            Command::TlsReload(c) => c,
            Command::ImapTrace(c) => c,
            Command::UserAddress(c) => c,
            Command::ProfileCreate(c) => c,
            Command::ProfileEdit(c) => c,
            Command::ProfileList(c) => c,
            Command::ProfileShow(c) => c,
            Command::ProfileTest(c) => c,
            Command::ProfileRun(c) => c,
            Command::ProfileDelete(c) => c,
            Command::ProfileExport(c) => c,
            Command::ProfileImport(c) => c,
            Command::RunsOpen(c) => c,
            Command::RunLog(c) => c,
            Command::RunRetry(c) => c,
            Command::ScheduleList(c) => c,
            Command::ScheduleAdd(c) => c,
            Command::ScheduleRemove(c) => c,
            Command::Jobs(c) => c,
            Command::JobCancel(c) => c,
            Command::AuditLog(c) => c,
            Command::UserEdit(c) => c,
            Command::UserRename(c) => c,
            Command::UserImport(c) => c,
            Command::OwnPassword(c) => c,
            Command::GroupList(c) => c,
            Command::GroupRights(c) => c,
            Command::AccessShow(c) => c,
            Command::AccessSet(c) => c,
            Command::DirectorySet(c) => c,
            Command::DirectoryShow(c) => c,
            Command::DirectoryTest(c) => c,
            Command::DirectorySync(c) => c,
            Command::DirectoryRemove(c) => c,
            Command::AppPasswordCreate(c) => c,
            Command::AppPasswordList(c) => c,
            Command::AppPasswordRevoke(c) => c,
            Command::UserTotp(c) => c,
            Command::UserDoor(c) => c,
            Command::UserLogins(c) => c,
            Command::SessionList(c) => c,
            Command::SessionKill(c) => c,
            Command::AuditExport(c) => c,
            Command::AuditVerify(c) => c,
            Command::AuditHead(c) => c,
        }
    }
}

/// Decides, does, and writes the audit log. Blocking.
pub(crate) fn run(command: &Command, cx: &Context<'_>) -> Result<Outcome, Failure> {
    let act = command.act();
    let end = cx.demand(&act.needs()).and_then(|()| act.run(cx));
    match audited::note(command, act, cx, &end) {
        Ok(()) => end,
        Err(error) => Err(Failure::also(end, error.into())),
    }
}
