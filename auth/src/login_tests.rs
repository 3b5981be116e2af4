//! Logins of every kind against one another: what each credential opens, and what closes it.

use super::credentials::{self, Secrets};
use super::scram::Keys;
use super::tests::{attempt, auth, secret};
use super::*;
use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use std::num::NonZeroU32;

const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

/// Seals by turning bits around: what it does is somebody else's promise.
struct Bits;

impl Sealer for Bits {
    fn seal(&self, about: &str, secret: &[u8]) -> Result<Vec<u8>, String> {
        Ok([about.as_bytes(), b"\0", &secret.iter().map(|byte| !byte).collect::<Vec<_>>()].concat())
    }
    fn open(&self, about: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, String> {
        let sealed = sealed.strip_prefix(format!("{about}\0").as_bytes()).ok_or("somebody else's")?;
        Ok(Zeroizing::new(sealed.iter().map(|byte| !byte).collect()))
    }
}

fn cheap() -> Settings {
    Settings {
        hash_cost: HashCost { memory_kib: 64, passes: 1, lanes: 1 },
        scram_iterations: 4_096,
        ..Settings::default()
    }
}

fn house(settings: &Settings) -> Auth {
    let db = Database::builder().create_with_backend(redb::backends::InMemoryBackend::new()).unwrap();
    let auth = Auth::open_with(Arc::new(db), settings).unwrap();
    auth.seal_with(Arc::new(Bits));
    auth.add("alice", &secret("correct horse"), false).unwrap();
    auth
}

fn plain(auth: &Auth, name: &str, password: &str) -> Result<Entered, Error> {
    auth.login(&attempt(name, Some(HERE)), &secret(password))
}

/// A client's side of SCRAM, written anew from RFC 5802 §3.
fn scram(auth: &Auth, name: &str, password: &str) -> Result<Entered, Error> {
    let begun = auth
        .scram_begin(false, &Channel::default(), format!("n,,n={name},r=abc").as_bytes())
        .unwrap()
        .unwrap();
    let last = client_last(begun.challenge(), &format!("n={name},r=abc"), "biws", password);
    let proof = begun.answer(last.as_bytes()).unwrap();
    auth.scram_prove(&proof, Privilege::Imap, Some(HERE)).map(|(entered, words)| {
        assert!(words.starts_with("v="));
        entered
    })
}

fn client_last(challenge: &str, bare: &str, channel: &str, password: &str) -> String {
    let field = |key: &str| challenge.split(',').find_map(|field| field.strip_prefix(key)).unwrap();
    let salt = BASE64.decode(field("s=")).unwrap();
    let iterations = NonZeroU32::new(field("i=").parse().unwrap()).unwrap();
    let mut salted = [0; 32];
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, &salt, password.as_bytes(), &mut salted);
    let sign =
        |key: &[u8], text: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text).as_ref().to_vec();
    let client = sign(&salted, b"Client Key");
    let stored = digest::digest(&digest::SHA256, &client);
    let without = format!("c={channel},r={}", field("r="));
    let signature = sign(stored.as_ref(), format!("{bare},{challenge},{without}").as_bytes());
    let proof: Vec<u8> = client.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
    format!("{without},p={}", BASE64.encode(proof))
}

fn stored(auth: &Auth, name: &str) -> Secrets {
    auth.find(name).unwrap().unwrap().secrets
}

#[test]
fn an_app_password_opens_until_it_is_revoked_and_no_other_with_it() {
    let auth = house(&cheap());
    let (phone, word) = auth.create_app_password("alice", " Phone ").unwrap();
    let (_, other) = auth.create_app_password("alice", "Laptop").unwrap();
    assert_eq!((phone.label.as_str(), phone.used), ("Phone", None));
    let by = plain(&auth, "alice", &word).unwrap().by;
    assert_eq!(by, Credential::AppPassword(phone.id));
    assert_eq!(scram(&auth, "alice", &word).unwrap().by, by);
    assert!(auth.login_again(&attempt("alice", None), &word).unwrap().is_some());
    assert_eq!(plain(&auth, "alice", "correct horse").unwrap().by, Credential::Password(1));
    assert!(auth.app_passwords("alice").unwrap()[0].used.is_some());
    assert!(matches!(plain(&auth, "alice", "abcd-efgh-ijkl-mnop-qrst"), Err(Error::Denied)));
    auth.add("bob", &secret("correct horse"), false).unwrap();
    assert!(matches!(plain(&auth, "bob", &word), Err(Error::Denied)));
    let still = |by| auth.still("alice", by, Privilege::Imap, Some(HERE)).unwrap();
    assert_eq!(still(by), Still::Welcome);
    let before = auth.generation();
    auth.revoke_app_password("alice", "Phone").unwrap();
    assert!(auth.generation() > before, "open sessions are told");
    assert_eq!(still(by), Still::Revoked);
    assert!(plain(&auth, "alice", &word).is_err() && scram(&auth, "alice", &word).is_err());
    assert!(auth.login_again(&attempt("alice", None), &word).unwrap().is_none());
    assert!(plain(&auth, "alice", &other).is_ok());
    let (third, _) = auth.create_app_password("alice", "Phone").unwrap();
    assert!(third.id > 2 && still(by) == Still::Revoked, "its number never comes again");
    assert!(matches!(auth.revoke_app_password("alice", "1"), Err(Error::AppPassword(_))));
    auth.revoke_app_password("alice", &third.id.to_string()).unwrap();
}

#[test]
fn app_passwords_are_bounded_and_named() {
    let auth = house(&Settings { scram_iterations: 0, ..cheap() });
    for bad in ["", "  ", "a\nb", &"x".repeat(MAX_LABEL_BYTES + 1)] {
        assert!(matches!(auth.create_app_password("alice", bad), Err(Error::AppPassword(_))), "{bad:?}");
    }
    auth.create_app_password("alice", &"x".repeat(MAX_LABEL_BYTES)).unwrap();
    assert!(auth.create_app_password("alice", &"x".repeat(MAX_LABEL_BYTES)).is_err(), "the name is taken");
    for n in 1..MAX_APP_PASSWORDS {
        auth.create_app_password("alice", &format!("device {n}")).unwrap();
    }
    assert!(matches!(auth.create_app_password("alice", "one more"), Err(Error::AppPassword(_))));
    assert!(matches!(auth.create_app_password("nobody", "x"), Err(Error::Unknown(_))));
}

#[test]
fn with_the_second_factor_mail_takes_app_passwords_only_and_commands_take_a_code() {
    let auth = house(&cheap());
    let (_, word) = auth.create_app_password("alice", "Phone").unwrap();
    let session = plain(&auth, "alice", "correct horse").unwrap().by;
    let enrolment = auth.enable_totp("alice").unwrap();
    assert!(plain(&auth, "alice", "correct horse").is_ok(), "it counts once it is confirmed");
    let code = |ahead| totp::tests::code_now(&enrolment.secret, ahead);
    assert!(matches!(auth.confirm_totp("alice", "000000x"), Err(Error::Factor(_))));
    let recovery = auth.confirm_totp("alice", &code(-1)).unwrap();
    assert_eq!(recovery.len(), RECOVERY_CODES);
    assert_eq!(auth.still("alice", session, Privilege::Imap, None).unwrap(), Still::Revoked);
    assert!(
        plain(&auth, "alice", "correct horse").is_err() && scram(&auth, "alice", "correct horse").is_err()
    );
    assert!(auth.login_again(&attempt("alice", Some(HERE)), &secret("correct horse")).unwrap().is_none());
    assert!(plain(&auth, "alice", &word).is_ok() && scram(&auth, "alice", &word).is_ok());

    let command =
        |password: &str, code: Option<&str>| auth.login_command("alice", &secret(password), code, HERE);
    assert!(matches!(command("correct horse", None), Err(Error::CodeNeeded)));
    assert!(
        matches!(command("wrong horse", None), Err(Error::Denied)),
        "only who knows the password is asked"
    );
    assert!(matches!(command(&word, Some(&code(0))), Err(Error::Denied)), "app passwords give no commands");
    assert!(
        matches!(command("correct horse", Some(&code(-1))), Err(Error::Denied)),
        "the confirmation used it"
    );
    let used = code(0);
    command("correct horse", Some(&used)).unwrap();
    assert!(matches!(command("correct horse", Some(&used)), Err(Error::Denied)), "a code counts once");
    command("correct horse", Some(&recovery[3])).unwrap();
    assert!(
        matches!(command("correct horse", Some(&recovery[3])), Err(Error::Denied)),
        "so does a recovery code"
    );
    let loose = recovery[4].to_uppercase().replace('-', " ");
    command("correct horse", Some(&loose)).unwrap();
    let fresh = auth.recovery_codes("alice").unwrap();
    assert!(
        command("correct horse", Some(&recovery[5])).is_err()
            && command("correct horse", Some(&fresh[0])).is_ok()
    );
    assert!(matches!(auth.enable_totp("alice"), Err(Error::Factor(_))));
    auth.rename("alice", "carol").unwrap();
    assert!(auth.login_command("carol", &secret("correct horse"), Some(&fresh[1]), HERE).is_ok());
    let next = code(1);
    assert!(
        auth.login_command("carol", &secret("correct horse"), Some(&next), HERE).is_ok(),
        "it opens under the new name"
    );
    auth.disable_totp("carol").unwrap();
    assert!(auth.login_command("carol", &secret("correct horse"), None, HERE).is_ok());
    assert!(matches!(auth.disable_totp("carol"), Err(Error::Factor(_))));
}

#[test]
fn one_code_lets_one_of_many_in() {
    let auth = house(&cheap());
    let enrolment = auth.enable_totp("alice").unwrap();
    auth.confirm_totp("alice", &totp::tests::code_now(&enrolment.secret, -1)).unwrap();
    let code = totp::tests::code_now(&enrolment.secret, 0);
    let entered = std::thread::scope(|scope| {
        let tries: Vec<_> = (0..8).map(|_| scope.spawn(|| auth.take_code("alice", &code).is_ok())).collect();
        tries.into_iter().map(|one| one.join().unwrap()).filter(|&ok| ok).count()
    });
    assert_eq!(entered, 1);
}

#[test]
fn without_a_sealer_there_is_no_second_factor() {
    let auth = auth();
    auth.add("alice", &secret("correct horse"), false).unwrap();
    assert!(matches!(auth.enable_totp("alice"), Err(Error::Seal(_))));
}

#[test]
fn a_forced_change_leaves_nothing_but_the_change() {
    let auth = house(&cheap());
    let session = plain(&auth, "alice", "correct horse").unwrap().by;
    auth.set_must_change("alice", true).unwrap();
    assert!(matches!(plain(&auth, "alice", "correct horse"), Err(Error::MustChange)));
    assert!(matches!(scram(&auth, "alice", "correct horse"), Err(Error::MustChange)));
    assert!(
        matches!(plain(&auth, "alice", "wrong horse"), Err(Error::Denied)),
        "who doesn't know it hears nothing"
    );
    assert_eq!(auth.still("alice", session, Privilege::Imap, None).unwrap(), Still::MustChange);
    let alice = Subject::User("alice".into());
    assert!(!auth.may_read("alice", "alice") && !auth.allows(&alice, Deed::Use(Privilege::Imap)));
    assert!(auth.allows(&alice, Deed::Use(Privilege::ChangePassword)));
    assert!(auth.login_command("alice", &secret("correct horse"), None, HERE).unwrap().must_change);
    let change = |old: &str, new: &str| auth.change_password("alice", &secret(old), &secret(new), HERE);
    assert!(matches!(change("wrong horse", "battery staple"), Err(Error::Denied)));
    assert!(matches!(change("correct horse", "correct horse"), Err(Error::BadPassword(_))));
    assert!(matches!(change("correct horse", "Password123"), Err(Error::BadPassword(_))));
    change("correct horse", "battery staple").unwrap();
    assert!(
        plain(&auth, "alice", "correct horse").is_err() && scram(&auth, "alice", "correct horse").is_err()
    );
    assert!(
        plain(&auth, "alice", "battery staple").is_ok() && scram(&auth, "alice", "battery staple").is_ok()
    );
    assert_eq!(
        auth.still("alice", session, Privilege::Imap, None).unwrap(),
        Still::Revoked,
        "the old password's"
    );
    auth.set_password("alice", &secret("for one login")).unwrap();
    auth.set_must_change("alice", true).unwrap();
    assert!(matches!(plain(&auth, "alice", "for one login"), Err(Error::MustChange)));
    auth.set_privilege("alice", Privilege::ChangePassword, false).unwrap();
    assert!(matches!(change("for one login", "battery staple"), Err(Error::Denied)));
}

#[test]
fn scram_tells_nothing_of_who_is_there() {
    let auth = house(&cheap());
    auth.add("old", &secret("correct horse"), false).unwrap();
    auth.change_secrets("old", |stored| {
        stored.secrets = Secrets::default();
        Ok(())
    })
    .unwrap();
    let ask = |auth: &Auth, name: &str| {
        let message = format!("n,,n={name},r=abc");
        let begun = auth.scram_begin(false, &Channel::default(), message.as_bytes()).unwrap().unwrap();
        begun.challenge().split_once(",s=").map(|(nonce, rest)| (nonce.len(), rest.to_owned())).unwrap()
    };
    let all = ["alice", "old", "nobody", "nobody2"].map(|name| ask(&auth, name));
    for (name, asked) in ["alice", "old", "nobody", "nobody2"].iter().zip(&all) {
        assert_eq!(ask(&auth, name), *asked, "{name} has the same salt each time");
        assert_eq!((asked.0, asked.1.len()), (all[0].0, all[0].1.len()), "{name}");
    }
    let reopened = Auth::open_with(Arc::clone(&auth.db), &cheap()).unwrap();
    assert_eq!(ask(&reopened, "nobody"), all[2], "after a restart too");
    reopened.add("nobody", &secret("correct horse"), false).unwrap();
    assert_eq!(ask(&reopened, "nobody"), all[2], "whoever gets the name gets its salt");
    for name in ["old", "nobody2"] {
        assert!(matches!(scram(&auth, name, "correct horse"), Err(Error::Denied)), "{name}");
    }
    plain(&auth, "old", "correct horse").unwrap();
    assert!(scram(&auth, "old", "correct horse").is_ok(), "a login by PLAIN made the verifier");
    assert_eq!(ask(&auth, "old"), all[1]);
}

#[test]
fn a_replayed_or_bent_proof_is_refused() {
    let auth = house(&cheap());
    let begin =
        |message: &str| auth.scram_begin(false, &Channel::default(), message.as_bytes()).unwrap().unwrap();
    let first = begin("n,,n=alice,r=abc");
    let last = client_last(first.challenge(), "n=alice,r=abc", "biws", "correct horse");
    assert!(
        begin("n,,n=alice,r=abc").answer(last.as_bytes()).is_none(),
        "another exchange has another nonce"
    );
    let proof = first.answer(last.as_bytes()).unwrap();
    auth.scram_prove(&proof, Privilege::Imap, None).unwrap();
    // A proof for the same password over another name's message.
    auth.add("bob", &secret("correct horse"), false).unwrap();
    let begun = begin("n,,n=bob,r=abc");
    let last = client_last(begun.challenge(), "n=alice,r=abc", "biws", "correct horse");
    let proof = begun.answer(last.as_bytes()).unwrap();
    assert!(matches!(auth.scram_prove(&proof, Privilege::Imap, None), Err(Error::Denied)));
    // The first message said n; one that says y in the end was changed on its way.
    let begun = begin("n,,n=alice,r=abc");
    let last = client_last(begun.challenge(), "n=alice,r=abc", &BASE64.encode("y,,"), "correct horse");
    assert!(begun.answer(last.as_bytes()).is_none());
}

#[test]
fn channel_binding_holds_both_ways() {
    let auth = house(&cheap());
    let channel = Channel(vec![("tls-exporter", b"this channel".to_vec())]);
    let begin = |plus, channel: &Channel, flag: &str| {
        auth.scram_begin(plus, channel, format!("{flag},,n=alice,r=abc").as_bytes()).unwrap()
    };
    let bare = Channel::default();
    for (plus, channel, flag, taken) in [
        (true, &channel, "p=tls-exporter", true),
        (true, &channel, "p=tls-unique", false),
        (true, &channel, "n", false),
        (true, &channel, "y", false),
        (false, &channel, "n", true),
        (false, &channel, "y", false), // It was told that we can't: by whom?
        (false, &channel, "p=tls-exporter", false),
        (false, &bare, "y", true),
        (false, &bare, "n", true),
        (true, &bare, "p=tls-exporter", false),
    ] {
        assert_eq!(begin(plus, channel, flag).is_some(), taken, "{plus} {flag}");
    }
    let prove = |data: &[u8]| {
        let begun = begin(true, &channel, "p=tls-exporter").unwrap();
        let said = BASE64.encode([b"p=tls-exporter,,", data].concat());
        let last = client_last(begun.challenge(), "n=alice,r=abc", &said, "correct horse");
        begun.answer(last.as_bytes()).map(|proof| auth.scram_prove(&proof, Privilege::Imap, None).is_ok())
    };
    assert_eq!(prove(b"this channel"), Some(true));
    assert_eq!(prove(b"that channel"), None, "somebody sits in between");
    assert_eq!(prove(b""), None);
    let begun = auth.scram_begin(false, &bare, b"n,a=bob,n=alice,r=abc").unwrap();
    assert!(begun.is_none(), "nobody acts as somebody else");
    assert!(auth.scram_begin(false, &bare, b"n,a=alice,n=alice,r=abc").unwrap().is_some());
}

#[test]
fn hashes_and_verifiers_follow_the_settings_at_the_next_login() {
    let auth = house(&cheap());
    let dearer = Settings {
        hash_cost: HashCost { memory_kib: 128, passes: 2, lanes: 1 },
        scram_iterations: 5_000,
        ..cheap()
    };
    let auth = Auth::open_with(Arc::clone(&auth.db), &dearer).unwrap();
    let hash = |auth: &Auth| auth.find("alice").unwrap().unwrap().hash;
    assert!(hash(&auth).contains("m=64,t=1"));
    let by = plain(&auth, "alice", "correct horse").unwrap().by;
    assert!(hash(&auth).contains("m=128,t=2"), "{}", hash(&auth));
    assert_eq!(stored(&auth, "alice").scram.unwrap().iterations, 5_000);
    assert!(scram(&auth, "alice", "correct horse").is_ok());
    assert_eq!(
        auth.still("alice", by, Privilege::Imap, None).unwrap(),
        Still::Welcome,
        "the password is the same"
    );
    assert!(auth.login_again(&attempt("alice", Some(HERE)), &secret("correct horse")).unwrap().is_some());
    // App passwords can't be hashed anew: what they were made with stays.
    let (_, word) = auth.create_app_password("alice", "Phone").unwrap();
    let auth = Auth::open_with(Arc::clone(&auth.db), &cheap()).unwrap();
    plain(&auth, "alice", "correct horse").unwrap();
    assert_eq!(stored(&auth, "alice").scram.unwrap().iterations, 5_000);
    assert!(scram(&auth, "alice", "correct horse").is_ok() && scram(&auth, "alice", &word).is_ok());
}

#[test]
fn a_hash_that_others_set_takes_the_old_verifier_out() {
    let auth = house(&cheap());
    assert!(scram(&auth, "alice", "correct horse").is_ok());
    let hash = auth.hasher.hash("battery staple").unwrap();
    auth.change("alice", |stored| stored.hash = hash).unwrap();
    assert!(scram(&auth, "alice", "correct horse").is_err());
    plain(&auth, "alice", "battery staple").unwrap();
    assert!(
        scram(&auth, "alice", "battery staple").is_ok() && scram(&auth, "alice", "correct horse").is_err()
    );
    auth.change("alice", |stored| stored.user.mode = Mode::Directory).unwrap();
    assert!(scram(&auth, "alice", "battery staple").is_err(), "no fallback to what was kept here");
    assert!(matches!(auth.set_password("alice", &secret("another one")), Err(Error::PasswordElsewhere)));
}

#[test]
fn networks_from_which_logins_are_taken() {
    let settings =
        Settings { allow_from: vec!["192.0.2.0/24".parse().unwrap(), "::1".parse().unwrap()], ..cheap() };
    let auth = house(&settings);
    let from = |ip: &str| auth.login(&attempt("alice", Some(ip.parse().unwrap())), &secret("correct horse"));
    assert!(auth.admits(HERE) && !auth.admits("198.51.100.1".parse().unwrap()));
    assert!(from("192.0.2.255").is_ok() && from("::ffff:192.0.2.9").is_ok() && from("::1").is_ok());
    assert!(matches!(from("198.51.100.1"), Err(Error::Denied)));
    auth.set_allow_from("alice", vec!["192.0.2.128/25".parse().unwrap()]).unwrap();
    assert!(from("192.0.2.128").is_ok() && from("192.0.2.127").is_err() && from("::1").is_err());
    let session = Credential::Password(1);
    let still = |ip: &str| auth.still("alice", session, Privilege::Imap, Some(ip.parse().unwrap())).unwrap();
    assert_eq!((still("192.0.2.128"), still("192.0.2.127")), (Still::Welcome, Still::Ended));
    assert!(auth.login(&attempt("alice", None), &secret("correct horse")).is_ok());
}

#[test]
fn secrets_lie_nowhere_in_the_clear() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("master.redb");
    let (word, shared, codes) = {
        let auth = Auth::open_with(Arc::new(Database::create(&path).unwrap()), &cheap()).unwrap();
        auth.seal_with(Arc::new(Bits));
        auth.add("alice", &secret("correct horse"), false).unwrap();
        let (_, word) = auth.create_app_password("alice", "Phone").unwrap();
        let enrolment = auth.enable_totp("alice").unwrap();
        let codes = auth.confirm_totp("alice", &totp::tests::code_now(&enrolment.secret, 0)).unwrap();
        (word, enrolment.secret.clone(), codes)
    };
    let bytes = std::fs::read(&path).unwrap();
    let has =
        |text: &str| bytes.windows(text.len()).any(|window| window.eq_ignore_ascii_case(text.as_bytes()));
    assert!(has("appPasswords"), "this is where they would be");
    for text in [word.as_str(), &word.replace('-', ""), shared.as_str(), "correct horse", codes[0].as_str()] {
        assert!(!has(text), "{text}");
    }
}

#[test]
fn names_and_passwords_out_of_all_bounds_are_refused_like_others() {
    let auth = house(&cheap());
    let long = "x".repeat(5_000_000);
    for (name, password) in [
        ("alice\0", "correct horse"),
        ("alice", "correct horse\0"),
        ("\0", "\0"),
        (long.as_str(), long.as_str()),
        ("alice", long.as_str()),
        ("ali\u{200b}ce", "correct horse"),
        ("\u{430}lice", "correct horse"),
        ("ALICE", "correct horse"),
        ("alice ", "correct horse"),
    ] {
        assert!(matches!(plain(&auth, name, password), Err(Error::Denied)));
        assert!(auth.login_again(&attempt(name, None), &secret(password)).unwrap().is_none());
        assert!(matches!(auth.login_command(name, &secret(password), Some("1"), HERE), Err(Error::Denied)));
    }
    assert!(
        auth.scram_begin(false, &Channel::default(), format!("n,,n={long},r=a").as_bytes())
            .unwrap()
            .is_none()
    );
    assert!(auth.scram_begin(false, &Channel::default(), b"n,,n=al\0ice,r=a").unwrap().is_none());
}

#[test]
fn one_salt_serves_all_passwords_of_a_user() {
    let auth = house(&cheap());
    auth.create_app_password("alice", "Phone").unwrap();
    let secrets = stored(&auth, "alice");
    let by = secrets.scram.clone().unwrap();
    assert_eq!(by.salt, auth.logins.salt("alice"));
    let expected = Keys::derive("correct horse", &by.salt, by.iterations);
    assert!(secrets.keys.unwrap().keys == expected && secrets.app_passwords[0].keys.is_some());
    assert!(!credentials::same(&auth.logins.salt("alice"), &auth.logins.salt("bob")));
}

#[test]
fn passwords_of_a_file_are_set_as_any_other() {
    let auth = house(&cheap());
    let of = |name: &str, password: &str| NewUser {
        name: name.into(),
        password: Some(secret(password)),
        ..NewUser::default()
    };
    let import = |people: &[NewUser]| auth.import(people, true, false).unwrap();
    // The rules of the settings count, and none of the file is done.
    let done = import(&[of("alice", "battery staple"), of("bob", "password1")]);
    assert!(matches!(done[1], Err(Error::BadPassword(_))));
    let before = plain(&auth, "alice", "correct horse").unwrap().by;
    auth.set_must_change("alice", true).unwrap();
    let done = import(&[of("alice", "battery staple")]);
    assert!(matches!(&done[..], [Ok(Imported::Changed(what))] if *what == ["password"]));
    // Who came by the old one goes; a forced change is over.
    assert_ne!(auth.still("alice", before, Privilege::Imap, None).unwrap(), Still::Welcome);
    assert!(plain(&auth, "alice", "correct horse").is_err());
    assert!(scram(&auth, "alice", "correct horse").is_err());
    assert!(plain(&auth, "alice", "battery staple").is_ok());
    assert!(scram(&auth, "alice", "battery staple").is_ok(), "its first login by PLAIN made the verifier");
    // Whose password a directory keeps gets none here.
    auth.change("alice", |stored| stored.user.mode = Mode::Directory).unwrap();
    assert!(matches!(import(&[of("alice", "another staple")])[0], Err(Error::PasswordElsewhere)));
}

#[test]
fn what_is_known_of_logins_goes_with_the_user_whoever_moves_or_removes_one() {
    let auth = house(&cheap());
    plain(&auth, "alice", "correct horse").unwrap();
    auth.flush_logins().unwrap();
    crate::book::with(&auth.db, |book| book.rename("alice", "alina").map(drop)).unwrap();
    assert_eq!(auth.logins("alina").unwrap().len(), 1);
    crate::book::with(&auth.db, |book| book.remove("alina")).unwrap();
    auth.add("alina", &secret("correct horse"), false).unwrap();
    assert!(auth.logins("alina").unwrap().is_empty(), "somebody else's");
}
