//! Plans: who comes, changes, is renamed, disabled, removed, and who stands in the way.

use super::*;
use crate::Privilege;
use std::slice::from_ref;

fn person(id: &str, name: &str) -> Person {
    Person { id: id.into(), name: name.into(), dn: Some(format!("cn={name}")), ..Person::default() }
}

fn found(people: &[Person]) -> Vec<Found> {
    people.iter().cloned().map(Found::Person).collect()
}

fn from_directory(id: &str, name: &str) -> User {
    User {
        name: name.into(),
        dn: Some(format!("cn={name}")),
        mode: Mode::Directory,
        origin: Some(Origin { id: id.into(), disabled: false }),
        rights: vec![Right { folder: name.into(), level: Level::Read }],
        ..User::default()
    }
}

fn run(users: &[User], found: &[Found], directory: &Directory) -> Plan {
    plan(users, found, directory, 7)
}

fn rows(plan: &Plan) -> Vec<(Action, &str)> {
    plan.steps.iter().map(|step| (step.row.action, step.row.name.as_str())).collect()
}

/// The users after the plan.
fn after(users: &[User], plan: &Plan) -> Vec<User> {
    let mut all: BTreeMap<String, User> =
        users.iter().map(|user| (user.name.clone(), user.clone())).collect();
    for edit in plan.steps.iter().filter_map(|step| step.edit.as_ref()) {
        edit.before.as_ref().and_then(|name| all.remove(name));
        if let Some(user) = &edit.after {
            assert!(all.insert(user.name.clone(), user.clone()).is_none(), "{} is there twice", user.name);
        }
    }
    all.into_values().collect()
}

#[test]
fn new_ones_come_and_a_second_run_changes_nothing() {
    let mut anna = person("id:1", "Anna");
    anna.addresses = vec!["Anna@Example.org".into(), "a@example.org".into(), "nonsense".into()];
    anna.groups = BTreeSet::from(["legal".to_owned()]);
    anna.full_name = "Anna K".into();
    let directory = Directory { privileges: vec![Privilege::Imap, Privilege::Login], ..Directory::default() };
    let plan = run(&[], &found(from_ref(&anna)), &directory);
    assert_eq!(rows(&plan), [(Action::Created, "anna")]);
    let users = after(&[], &plan);
    let user = &users[0];
    assert_eq!((user.mode, user.created, user.full_name.as_str()), (Mode::Directory, 7, "Anna K"));
    assert_eq!(user.addresses, ["anna@example.org", "a@example.org"]);
    assert_eq!(
        (user.privileges.as_slice(), user.groups.as_slice()),
        (&[Privilege::Login, Privilege::Imap][..], &["legal".to_owned()][..])
    );
    assert_eq!(user.rights, [Right { folder: "anna".into(), level: Level::Read }]);
    let again = run(&users, &found(&[anna]), &directory);
    // The address that is none is told each time.
    assert_eq!(rows(&again), [(Action::Conflict, "anna")]);
    assert!(again.steps[0].edit.is_none() && again.steps[0].row.what[0].contains("nonsense"));
}

#[test]
fn nobody_is_taken_over_in_silence() {
    let users = [
        User { name: "Own".into(), ..User::default() },
        from_directory("id:other", "other"),
        User { name: "byhand".into(), mode: Mode::Directory, ..User::default() },
    ];
    let found = found(&[
        person("id:1", "own"),
        person("id:2", "other"),
        person("id:3", "byhand"),
        person("id:other", "other"),
    ]);
    let plan = run(&users, &found, &Directory::default());
    assert_eq!(
        rows(&plan),
        [(Action::Changed, "byhand"), (Action::Conflict, "other"), (Action::Conflict, "own")]
    );
    let users = after(&users, &plan);
    assert_eq!(users.iter().find(|user| user.name == "byhand").unwrap().origin.as_ref().unwrap().id, "id:3");
    assert_eq!(users.iter().find(|user| user.name == "Own").unwrap().mode, Mode::Integrated);
}

#[test]
fn two_entries_of_one_name_are_told_and_neither_is_taken() {
    let plan = run(&[], &found(&[person("id:1", "twin"), person("id:2", "TWIN")]), &Directory::default());
    assert_eq!(rows(&plan), [(Action::Conflict, "twin"), (Action::Conflict, "twin")]);
}

#[test]
fn a_renamed_entry_is_the_same_user_and_the_next_of_that_name_reads_nothing_of_it() {
    let users = [from_directory("id:1", "bob")];
    let plan = run(&users, &found(&[person("id:1", "robert"), person("id:2", "bob")]), &Directory::default());
    assert_eq!(rows(&plan), [(Action::Renamed, "robert"), (Action::Created, "bob")]);
    let users = after(&users, &plan);
    let [bob, robert] = users.as_slice() else { panic!("{users:?}") };
    let level = Level::Read;
    assert_eq!(
        robert.rights,
        [Right { folder: "bob".into(), level }, Right { folder: "robert".into(), level }]
    );
    assert!(bob.rights.is_empty());
    assert!(plan.steps[1].row.what.iter().any(|what| what.contains("no right on the archive")));
}

#[test]
fn a_name_that_is_taken_is_not_given_by_a_rename() {
    let users = [from_directory("id:1", "bob"), User { name: "robert".into(), ..User::default() }];
    let mut bob = person("id:1", "robert");
    bob.full_name = "New".into();
    let plan = run(&users, &found(&[bob]), &Directory::default());
    assert_eq!(rows(&plan), [(Action::Changed, "bob")]);
    assert!(plan.steps[0].row.what[0].contains("can't be called"));
    assert_eq!(after(&users, &plan)[0].full_name, "New");
}

#[test]
fn who_is_gone_stays_is_disabled_or_is_removed() {
    let users = [from_directory("id:1", "bob")];
    for (gone, action, there) in [
        (Gone::Keep, None, true),
        (Gone::Disable, Some(Action::Disabled), true),
        (Gone::Remove, Some(Action::Removed), false),
    ] {
        let directory = Directory { gone, ..Directory::default() };
        for missing in
            [vec![], vec![Found::LeftOut { id: "id:1".into(), name: "bob".into(), why: "no e-mail address" }]]
        {
            let plan = run(&users, &missing, &directory);
            assert_eq!(rows(&plan).first().map(|row| row.0), action);
            assert_eq!((plan.linked, plan.losses), (1, usize::from(action.is_some())));
            assert_eq!(after(&users, &plan).len(), usize::from(there));
        }
        // What can't be read says nothing about whether it is there.
        let unreadable = Found::Unusable { id: "id:1".into(), entry: "cn=bob".into(), why: "x".into() };
        let plan = run(&users, &[unreadable], &directory);
        assert_eq!((rows(&plan), plan.losses), (vec![(Action::Skipped, "cn=bob")], 0));
    }
}

#[test]
fn who_was_disabled_by_the_directory_is_enabled_by_it_and_nobody_else_is() {
    let directory = Directory { gone: Gone::Disable, ..Directory::default() };
    let users = [from_directory("id:1", "bob")];
    let users = after(&users, &run(&users, &[], &directory));
    assert!(users[0].disabled && users[0].origin.as_ref().unwrap().disabled);
    assert!(rows(&run(&users, &[], &directory)).is_empty());
    let back = run(&users, &found(&[person("id:1", "bob")]), &directory);
    assert_eq!(rows(&back), [(Action::Enabled, "bob")]);
    assert!(!after(&users, &back)[0].disabled);

    let by_hand = [User { disabled: true, ..from_directory("id:1", "bob") }];
    assert!(rows(&run(&by_hand, &found(&[person("id:1", "bob")]), &directory)).is_empty());
    let off = Person { disabled: true, ..person("id:1", "bob") };
    assert!(rows(&run(&by_hand, &found(from_ref(&off)), &directory)).is_empty());
    let users = [from_directory("id:1", "bob")];
    let plan = run(&users, &found(from_ref(&off)), &directory);
    assert_eq!((rows(&plan), plan.losses), (vec![(Action::Disabled, "bob")], 0));
    let disabled = after(&users, &plan);
    assert_eq!(
        rows(&run(&disabled, &found(&[person("id:1", "bob")]), &directory)),
        [(Action::Enabled, "bob")]
    );
    assert!(rows(&run(&[], &found(&[off]), &directory)).is_empty(), "who is disabled doesn't come");
}

#[test]
fn an_address_stays_with_who_has_it_until_they_give_it_up() {
    let with = |mut person: Person, addresses: &[&str]| {
        person.addresses = addresses.iter().map(|&address| address.to_owned()).collect();
        person
    };
    let own = User { name: "own".into(), addresses: vec!["own@x".into()], ..User::default() };
    let bob = User { addresses: vec!["b@x".into(), "old@x".into()], ..from_directory("id:1", "bob") };
    let users = [bob, own];
    let people = found(&[
        with(person("id:1", "bob"), &["b@x"]),
        with(person("id:2", "carol"), &["b@x", "old@x", "own@x"]),
    ]);
    let users = after(&users, &run(&users, &people, &Directory::default()));
    assert_eq!(users[0].addresses, ["b@x"]);
    assert_eq!(users[1].addresses, ["old@x"]);
}

#[test]
fn names_that_no_user_can_have() {
    for bad in ["a/b", "a*", "100%", "", " a", "a\0b", "inbox", "a\u{202e}b", "*)(uid=*", &"x".repeat(256)] {
        let plan = run(&[], &found(&[person("id:1", bad)]), &Directory::default());
        assert_eq!(
            plan.steps.iter().map(|step| step.row.action).collect::<Vec<_>>(),
            [Action::Skipped],
            "{bad:?}"
        );
    }
}

#[test]
fn rights_and_privileges_of_who_is_there_never_change() {
    let mut bob = from_directory("id:1", "bob");
    bob.privileges = vec![Privilege::Admin];
    bob.rights.clear();
    let changed = Person { full_name: "Bob".into(), ..person("id:1", "bob") };
    let users = after(from_ref(&bob), &run(from_ref(&bob), &found(&[changed]), &Directory::default()));
    assert_eq!(
        (users[0].full_name.as_str(), &users[0].privileges, &users[0].rights),
        ("Bob", &bob.privileges, &bob.rights)
    );
}
