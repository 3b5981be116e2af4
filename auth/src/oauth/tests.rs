//! Tokens of an issuer of our own making: keys made here, documents served on this machine.

use super::keys::{MAX_KEYS, read};
use super::token::{self, Refused};
use super::*;
use crate::throttle::Leave;
use crate::{Attempt, How, Level, Network, Privilege};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex};

const NOW: i64 = 1_800_000_000;

/// Keys of all kinds. An RSA key takes a while to make: there is one.
struct Signers {
    rsa: RsaKeyPair,
    ec: EcdsaKeyPair,
    ed: Ed25519KeyPair,
}

static SIGNERS: LazyLock<Signers> = LazyLock::new(|| Signers {
    rsa: RsaKeyPair::generate(KeySize::Rsa2048).unwrap(),
    ec: EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
    ed: Ed25519KeyPair::generate().unwrap(),
});

fn b64(bytes: impl AsRef<[u8]>) -> String {
    BASE64.encode(bytes)
}

fn rsa_jwk(kid: &str) -> Value {
    let public = SIGNERS.rsa.public_key();
    let n = public.modulus().big_endian_without_leading_zero().to_vec();
    json!({ "kty": "RSA", "kid": kid, "n": b64(n), "e": "AQAB" })
}

fn jwks() -> Value {
    let point = SIGNERS.ec.public_key().as_ref().to_vec();
    json!({ "keys": [
        rsa_jwk("rsa"),
        { "kty": "EC", "crv": "P-256", "kid": "ec", "use": "sig", "x": b64(&point[1..33]), "y": b64(&point[33..]) },
        { "kty": "OKP", "crv": "Ed25519", "kid": "ed", "alg": "EdDSA", "x": b64(SIGNERS.ed.public_key()) },
        { "kty": "something new", "kid": "x" },
        { "kty": "oct", "kid": "secret", "k": "c2VjcmV0" },
    ]})
}

fn sign(algorithm: &str, message: &[u8]) -> Vec<u8> {
    let random = SystemRandom::new();
    let rsa = |padding: &'static dyn signature::RsaEncoding| {
        let mut out = vec![0; SIGNERS.rsa.public_modulus_len()];
        SIGNERS.rsa.sign(padding, &random, message, &mut out).unwrap();
        out
    };
    match algorithm {
        "RS256" => rsa(&signature::RSA_PKCS1_SHA256),
        "PS256" => rsa(&signature::RSA_PSS_SHA256),
        "ES256" => SIGNERS.ec.sign(&random, message).unwrap().as_ref().to_vec(),
        "EdDSA" => SIGNERS.ed.sign(message).as_ref().to_vec(),
        _ => Vec::new(),
    }
}

fn kid(algorithm: &str) -> &'static str {
    match algorithm {
        "ES256" => "ec",
        "EdDSA" => "ed",
        _ => "rsa",
    }
}

fn claims() -> Value {
    json!({
        "iss": "http://127.0.0.1:1/realm", "aud": "mailkeep", "sub": "0815", "email": "alice@example.org",
        "preferred_username": "alice", "iat": NOW, "exp": NOW + 300, "azp": "thunderbird",
    })
}

fn token_of(header: &Value, claims: &Value) -> String {
    let message = format!("{}.{}", b64(header.to_string()), b64(claims.to_string()));
    let signature = sign(header["alg"].as_str().unwrap_or_default(), message.as_bytes());
    format!("{message}.{}", b64(signature))
}

fn token(algorithm: &str, claims: &Value) -> String {
    token_of(&json!({ "alg": algorithm, "typ": "JWT", "kid": kid(algorithm) }), claims)
}

fn changed(change: impl FnOnce(&mut Value)) -> Value {
    let mut claims = claims();
    change(&mut claims);
    claims
}

/// An issuer's keys in a file.
fn settings() -> (tempfile::TempDir, OAuth) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("keys.json");
    std::fs::write(&file, jwks().to_string()).unwrap();
    let settings = OAuth {
        issuer: "http://127.0.0.1:1/realm".into(),
        audiences: vec!["other".into(), "mailkeep".into()],
        jwks: file.display().to_string(),
        ..OAuth::default()
    };
    (dir, settings)
}

fn check(settings: &OAuth, token: &str) -> Result<String, String> {
    let keys = Keys::new(settings).unwrap();
    token::check(token, settings, &keys, NOW).map_err(|refused| match refused {
        Refused::Token(why) => why,
        Refused::Issuer(error) => panic!("{error}"),
    })
}

#[test]
fn good_tokens_of_all_algorithms() {
    let (_dir, settings) = settings();
    for algorithm in ["RS256", "PS256", "ES256", "EdDSA"] {
        assert_eq!(
            check(&settings, &token(algorithm, &claims())),
            Ok("alice@example.org".into()),
            "{algorithm}"
        );
        let only = OAuth {
            algorithms: Algorithm::ALL.into_iter().filter(|a| a.name() != algorithm).collect(),
            ..settings.clone()
        };
        assert!(check(&only, &token(algorithm, &claims())).unwrap_err().contains("not allowed"));
        // A changed signature, body, and header.
        let good = token(algorithm, &claims());
        let parts: Vec<&str> = good.split('.').collect();
        let other = b64(changed(|c| c["email"] = "bob@example.org".into()).to_string());
        assert!(
            check(&settings, &format!("{}.{other}.{}", parts[0], parts[2]))
                .unwrap_err()
                .contains("signature")
        );
        let mut bytes = BASE64.decode(parts[2]).unwrap();
        bytes[10] ^= 1;
        assert!(
            check(&settings, &format!("{}.{}.{}", parts[0], parts[1], b64(&bytes)))
                .unwrap_err()
                .contains("signature")
        );
        bytes.truncate(5);
        assert!(
            check(&settings, &format!("{}.{}.{}", parts[0], parts[1], b64(&bytes)))
                .unwrap_err()
                .contains("signature")
        );
    }
    for header in [
        json!({ "alg": "RS256", "typ": "at+jwt", "kid": "rsa" }),
        json!({ "alg": "RS256", "typ": "application/AT+JWT" }),
        json!({ "alg": "ES256" }),
    ] {
        assert!(check(&settings, &token_of(&header, &claims())).is_ok(), "{header}");
    }
}

/// RFC 8725 §2: none, the public key as a shared secret, a key in the header, a key of another kind.
#[test]
fn forged_algorithms_and_keys_are_refused() {
    let (_dir, settings) = settings();
    for algorithm in ["none", "None", "", "HS256", "HS512", "RS512", "ES384"] {
        let header = json!({ "alg": algorithm, "kid": "rsa" });
        let message = format!("{}.{}", b64(header.to_string()), b64(claims().to_string()));
        let why = check(&settings, &format!("{message}.")).unwrap_err();
        assert!(why.contains("not allowed"), "{algorithm}: {why}");
    }
    let header = json!({ "alg": "HS256", "kid": "rsa" });
    let message = format!("{}.{}", b64(header.to_string()), b64(claims().to_string()));
    let secret = rsa_jwk("rsa").to_string();
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret.as_bytes());
    let forged = format!("{message}.{}", b64(aws_lc_rs::hmac::sign(&key, message.as_bytes())));
    assert!(check(&settings, &forged).unwrap_err().contains("not allowed"));
    let other = Ed25519KeyPair::generate().unwrap();
    let own = json!({ "kty": "OKP", "crv": "Ed25519", "x": b64(other.public_key()) });
    for header in [
        json!({ "alg": "EdDSA", "jwk": own }),
        json!({ "alg": "EdDSA", "kid": "ed", "jku": "http://127.0.0.1:1/keys", "x5u": "http://127.0.0.1:1/c" }),
    ] {
        let message = format!("{}.{}", b64(header.to_string()), b64(claims().to_string()));
        let forged = format!("{message}.{}", b64(other.sign(message.as_bytes())));
        assert!(check(&settings, &forged).unwrap_err().contains("signature"));
    }
    for (header, why) in [
        (json!({ "alg": "RS256", "kid": "ec" }), "no such key"),
        (json!({ "alg": "RS256", "kid": "unknown" }), "no such key"),
        (json!({ "alg": "RS256", "kid": "rsa", "crit": ["x"] }), "critical"),
        (json!({ "alg": "RS256", "kid": "rsa", "typ": "logout+jwt" }), "type"),
        (json!({ "alg": "RS256", "kid": "rsa", "typ": "application/" }), "type"),
        (json!({ "alg": "RS256", "kid": 7 }), "JSON"),
        (json!({ "kid": "rsa" }), "JSON"),
    ] {
        let found = check(&settings, &token_of(&header, &claims())).unwrap_err();
        assert!(found.contains(why), "{header}: {found}");
    }
}

#[test]
fn claims_are_checked_with_skew_at_its_bounds() {
    let (_dir, settings) = settings();
    let skew = i64::try_from(settings.skew_secs).unwrap();
    let of =
        |change: fn(&mut Value, i64), by: i64| check(&settings, &token("EdDSA", &changed(|c| change(c, by))));
    let exp: fn(&mut Value, i64) = |c, by| c["exp"] = (NOW + by).into();
    assert!(of(exp, 1 - skew).is_ok());
    assert!(of(exp, -skew).unwrap_err().contains("expired"));
    let nbf: fn(&mut Value, i64) = |c, by| c["nbf"] = (NOW + by).into();
    assert!(of(nbf, skew).is_ok());
    assert!(of(nbf, skew + 1).unwrap_err().contains("not valid yet"));
    let iat: fn(&mut Value, i64) = |c, by| c["iat"] = (NOW + by).into();
    assert!(of(iat, skew).is_ok());
    assert!(of(iat, skew + 1).unwrap_err().contains("future"));
    let clients = OAuth { clients: vec!["thunderbird".into()], ..settings.clone() };
    assert!(check(&clients, &token("EdDSA", &claims())).is_ok());
    assert!(
        check(&clients, &token("EdDSA", &changed(|c| c["azp"] = "x".into()))).unwrap_err().contains("client")
    );
    type Change = fn(&mut Value);
    let refused: [(Change, &str); 16] = [
        (|c| c["exp"] = Value::Null, "exp is no number"),
        (|c| drop(c.as_object_mut().unwrap().remove("exp")), "never expires"),
        (|c| c["exp"] = "soon".into(), "exp is no number"),
        (|c| c["iss"] = "http://127.0.0.1:1/realm/".into(), "another issuer"),
        (|c| c["iss"] = json!(["http://127.0.0.1:1/realm"]), "another issuer"),
        (|c| drop(c.as_object_mut().unwrap().remove("iss")), "another issuer"),
        (|c| c["aud"] = "Mailkeep".into(), "another audience"),
        (|c| c["aud"] = json!(["a", "b"]), "another audience"),
        (|c| c["aud"] = json!([]), "another audience"),
        (|c| c["aud"] = json!({ "mailkeep": 1 }), "another audience"),
        (|c| drop(c.as_object_mut().unwrap().remove("aud")), "another audience"),
        (|c| drop(c.as_object_mut().unwrap().remove("email")), "has no email"),
        (|c| c["email"] = json!(["alice@example.org"]), "has no email"),
        (|c| c["email"] = "".into(), "empty or too long"),
        (|c| c["email"] = "x".repeat(1_001).into(), "empty or too long"),
        (|c| c["email_verified"] = false.into(), "not verified"),
    ];
    for (change, why) in refused {
        let found = check(&settings, &token("EdDSA", &changed(change))).unwrap_err();
        assert!(found.contains(why), "{why}: {found}");
    }
    let taken: [fn(&mut Value); 6] = [
        |c| c["aud"] = json!(["x", "mailkeep"]),
        |c| c["exp"] = 1_800_000_100.5.into(),
        |c| c["exp"] = 1e30.into(),
        |c| c["email_verified"] = true.into(),
        |c| c["email"] = "x".repeat(1_000).into(),
        |c| drop(c.as_object_mut().unwrap().remove("iat")),
    ];
    for change in taken {
        assert!(check(&settings, &token("EdDSA", &changed(change))).is_ok());
    }
    for (claim, expected) in [("preferred_username", "alice"), ("sub", "0815")] {
        let settings = OAuth { user_claim: claim.into(), ..settings.clone() };
        assert_eq!(check(&settings, &token("EdDSA", &claims())), Ok(expected.into()));
    }
}

#[test]
fn rubbish_and_what_is_too_long_or_too_deep_is_refused() {
    let (_dir, settings) = settings();
    // Base64 without padding leaves out every fourth length: the header gives what the body can't.
    let padded = |bytes: usize| {
        let of = |head: usize, body: usize| {
            let header = json!({ "alg": "EdDSA", "kid": "ed", "pad": "x".repeat(head) });
            token_of(&header, &changed(|c| c["pad"] = "x".repeat(body).into()))
        };
        let about = (bytes - of(0, 0).len()) / 4 * 3;
        let mut all = (0..4).flat_map(|head| (about - 8..about + 8).map(move |body| (head, body)));
        all.find_map(|(head, body)| Some(of(head, body)).filter(|token| token.len() == bytes)).unwrap()
    };
    assert!(check(&settings, &padded(MAX_TOKEN_BYTES)).is_ok());
    assert!(check(&settings, &padded(MAX_TOKEN_BYTES + 1)).unwrap_err().contains("too long"));
    let nested = |depth: usize| {
        let body = claims().to_string();
        let body =
            format!("{},\"deep\":{}{}}}", &body[..body.len() - 1], "[".repeat(depth), "]".repeat(depth));
        let message = format!("{}.{}", b64(json!({ "alg": "EdDSA", "kid": "ed" }).to_string()), b64(body));
        format!("{message}.{}", b64(sign("EdDSA", message.as_bytes())))
    };
    assert!(check(&settings, &nested(126)).is_ok());
    assert!(check(&settings, &nested(128)).unwrap_err().contains("JSON"));
    assert!(check(&settings, &nested(5_000)).unwrap_err().contains("JSON"));
    let good = token("EdDSA", &claims());
    for bad in [
        "",
        ".",
        "..",
        "...",
        "a.b.c",
        "e30.e30.",
        "e30=.e30.x",
        &format!("{good}.x"),
        &format!("{good}="),
        &good[1..],
    ] {
        assert!(check(&settings, bad).is_err(), "{bad:?}");
    }
}

#[test]
fn sets_of_keys_have_a_bound_and_need_a_key() {
    let many = |n: usize| json!({ "keys": vec![rsa_jwk("x"); n] }).to_string();
    assert_eq!(read(many(MAX_KEYS).as_bytes()).map(|keys| keys.len()), Ok(MAX_KEYS));
    assert!(read(many(MAX_KEYS + 1).as_bytes()).is_err());
    for bad in
        ["", "[]", "{}", r#"{"keys":[]}"#, r#"{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}"#, r#"{"keys":7}"#]
    {
        assert!(read(bad.as_bytes()).is_err(), "{bad}");
    }
    let mut key = rsa_jwk("x");
    key["use"] = "enc".into();
    assert!(read(json!({ "keys": [key] }).to_string().as_bytes()).is_err());
}

/// An issuer that serves its documents over HTTP, counts how often, and can be down.
struct Served {
    url: String,
    keys: Arc<Mutex<String>>,
    asked: Arc<AtomicUsize>,
    down: Arc<AtomicBool>,
}

impl Served {
    fn new() -> Served {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let served = Served {
            url: url.clone(),
            keys: Arc::new(Mutex::new(jwks().to_string())),
            asked: Arc::default(),
            down: Arc::default(),
        };
        let (keys, asked, down) =
            (Arc::clone(&served.keys), Arc::clone(&served.asked), Arc::clone(&served.down));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if !down.load(Ordering::SeqCst) {
                    answer(stream, &url, &keys.lock().unwrap(), &asked);
                }
            }
        });
        served
    }

    fn settings(&self) -> OAuth {
        OAuth { issuer: self.url.clone(), audiences: vec!["mailkeep".into()], ..OAuth::default() }
    }

    fn token(&self, algorithm: &str, kid: &str) -> String {
        let claims = changed(|c| c["iss"] = self.url.clone().into());
        token_of(&json!({ "alg": algorithm, "kid": kid }), &claims)
    }
}

fn answer(mut stream: TcpStream, url: &str, keys: &str, asked: &AtomicUsize) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let first = lines.next().and_then(Result::ok).unwrap_or_default();
    while lines.next().and_then(Result::ok).is_some_and(|line| !line.is_empty()) {}
    let (status, body) = match first.split(' ').nth(1).unwrap_or_default() {
        "/.well-known/openid-configuration" => {
            ("200 OK", json!({ "issuer": url, "jwks_uri": format!("{url}/keys") }).to_string())
        }
        "/wrong/.well-known/openid-configuration" => {
            ("200 OK", json!({ "issuer": url, "jwks_uri": format!("{url}/keys") }).to_string())
        }
        "/far/.well-known/openid-configuration" => (
            "200 OK",
            json!({ "issuer": format!("{url}/far"), "jwks_uri": "http://192.0.2.1/keys" }).to_string(),
        ),
        "/keys" => {
            asked.fetch_add(1, Ordering::SeqCst);
            ("200 OK", keys.to_owned())
        }
        "/moved/.well-known/openid-configuration" => ("302 Found\r\nLocation: /keys", String::new()),
        _ => ("404 Not Found", String::new()),
    };
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).ok();
}

fn check_at(keys: &Keys, settings: &OAuth, token: &str, now: i64) -> Result<String, Refused> {
    token::check(token, settings, keys, now)
}

#[test]
fn keys_are_fetched_kept_and_fetched_again_within_bounds() {
    let served = Served::new();
    let settings = OAuth { skew_secs: 600, max_age_secs: 200, keep_secs: 400, ..served.settings() };
    let keys = Keys::new(&settings).unwrap();
    let asked = || served.asked.load(Ordering::SeqCst);
    let check = |kid: &str, now: i64| check_at(&keys, &settings, &served.token("RS256", kid), now);
    // The first token has them fetched, the next ones don't.
    assert_eq!(check("rsa", NOW).unwrap(), "alice@example.org");
    assert!(check("rsa", NOW + 1).is_ok());
    assert_eq!(asked(), 1);
    // Unknown keys don't either, but once in refresh_secs.
    assert!(matches!(check("new", NOW + 59), Err(Refused::Token(_))));
    assert_eq!(asked(), 1);
    assert!(matches!(check("new", NOW + 60), Err(Refused::Token(_))));
    assert!(matches!(check("newer", NOW + 61), Err(Refused::Token(_))));
    assert_eq!(asked(), 2);
    // The keys are rotated: the new one counts, the old one no more.
    *served.keys.lock().unwrap() = json!({ "keys": [rsa_jwk("new")] }).to_string();
    assert!(check("new", NOW + 120).is_ok());
    assert_eq!(asked(), 3);
    assert!(matches!(check("rsa", NOW + 121), Err(Refused::Token(_))));
    // The issuer is down: what is known counts until keep_secs.
    served.down.store(true, Ordering::SeqCst);
    assert!(check("new", NOW + 120 + 200).is_ok());
    assert!(check("new", NOW + 120 + 399).is_ok());
    assert!(matches!(check("new", NOW + 120 + 400), Err(Refused::Issuer(_))));
    // And is back.
    served.down.store(false, Ordering::SeqCst);
    assert!(matches!(check("new", NOW + 120 + 401), Err(Refused::Issuer(_))), "not asked again at once");
    assert!(check("new", NOW + 120 + 460).is_ok());
    // A clock that was set back has them fetched anew.
    let before = asked();
    assert!(check("new", NOW).is_ok());
    assert_eq!(asked(), before + 1);
}

#[test]
fn documents_that_are_wrong_large_moved_or_elsewhere_are_refused() {
    let served = Served::new();
    let why = |settings: OAuth| match Keys::new(&settings).and_then(|keys| keys.refresh(NOW)) {
        Err(Error::Issuer(why)) => why,
        other => panic!("{other:?}"),
    };
    let at = |path: &str| OAuth { issuer: format!("{}{path}", served.url), ..served.settings() };
    assert!(why(at("/wrong")).contains("another issuer"));
    assert!(why(at("/far")).contains("https"));
    assert!(why(at("/moved")).contains("status 302"));
    assert!(why(at("/nothing")).contains("404"));
    assert!(why(OAuth { issuer: "http://login.example.org".into(), ..served.settings() }).contains("https"));
    assert!(
        why(OAuth { jwks: "/nowhere/keys.json".into(), ..served.settings() }).contains("/nowhere/keys.json")
    );
    assert!(
        why(OAuth { ca: Some("/nowhere/ca.pem".into()), ..served.settings() }).contains("/nowhere/ca.pem")
    );
    let pad = |bytes: usize| {
        let keys = jwks().to_string();
        keys.clone() + &" ".repeat(bytes - keys.len())
    };
    let most = usize::try_from(fetch::MAX_DOCUMENT_BYTES).unwrap();
    *served.keys.lock().unwrap() = pad(most);
    Keys::new(&served.settings()).unwrap().refresh(NOW).unwrap();
    *served.keys.lock().unwrap() = pad(most + 1);
    assert!(why(served.settings()).contains("/keys"));
    for (url, safe) in [
        ("https://login.example.org", true),
        ("http://localhost:8080/x", true),
        ("http://[::1]/x", true),
        ("http://127.0.0.1.example.org/", false),
        ("http://localhost@example.org/", false),
        ("ftp://127.0.0.1/", false),
        ("", false),
    ] {
        assert_eq!(fetch::is_safe(url), safe, "{url}");
    }
}

/// HTTPS with an authority of our own; without it, or for another name, nothing is believed.
#[test]
fn https_needs_a_certificate_that_is_believed() {
    let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca.pem");
    std::fs::write(&ca, signed.cert.pem()).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(signed.signing_key.serialize_der()).unwrap();
    let config =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![signed.cert.der().clone()], key)
            .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = rustls::StreamOwned::new(connection, stream);
            let mut line = String::new();
            let mut reader = BufReader::new(&mut stream);
            while reader.read_line(&mut line).is_ok_and(|read| read > 2) {}
            let body = jwks().to_string();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            stream.write_all((head + &body).as_bytes()).ok();
            stream.conn.send_close_notify();
            stream.flush().ok();
        }
    });
    let at = |host: &str, ca: Option<PathBuf>| {
        let jwks = format!("https://{host}:{port}/keys");
        Keys::new(&OAuth { jwks, ca, ..settings().1 }).unwrap().refresh(NOW)
    };
    at("localhost", Some(ca.clone())).unwrap();
    assert!(matches!(at("127.0.0.1", Some(ca)), Err(Error::Issuer(_))));
    assert!(matches!(at("localhost", None), Err(Error::Issuer(_))));
}

#[test]
fn the_user_must_be_here_active_privileged_and_the_one_that_is_named() {
    let memory = redb::backends::InMemoryBackend::new();
    let db = Arc::new(redb::Database::builder().create_with_backend(memory).unwrap());
    let (_dir, settings) = settings();
    let auth = Auth::open(db).unwrap().with_issuer(settings.clone()).unwrap();
    assert!(auth.takes_tokens());
    assert_eq!(
        auth.discovery().as_deref(),
        Some("http://127.0.0.1:1/realm/.well-known/openid-configuration")
    );
    auth.add("alice", &Zeroizing::new("correct horse battery".into()), false).unwrap();
    let here: IpAddr = "192.0.2.1".parse().unwrap();
    let now = crate::now();
    let fresh = Zeroizing::new(token(
        "EdDSA",
        &changed(|c| {
            c["iat"] = now.into();
            c["exp"] = (now + 300).into();
        }),
    ));
    let attempt = |name| Attempt { name, need: Privilege::Imap, from: Some(here), how: How::OAuthBearer };
    let login = |named: Option<&'static str>| {
        let entered = auth.login_token(&attempt(named.unwrap_or_default()), &fresh)?;
        assert_eq!(entered.by, Credential::Token);
        Ok::<_, Error>(entered.user)
    };
    assert!(matches!(login(None), Err(Error::Denied)), "nobody has the address");
    auth.set_address("alice", "Alice@Example.org", true).unwrap();
    assert_eq!(login(None).unwrap().name, "alice");
    assert_eq!(login(None).unwrap().name, "alice", "again, until it expires");
    assert!(login(Some("alice")).is_ok() && login(Some("ALICE@example.org")).is_ok());
    for other in ["bob", "alice@example.com", "Alice\0"] {
        assert!(matches!(login(Some(other)), Err(Error::Denied)), "{other:?}");
    }
    auth.set_right("alice", "alice", Some(Level::Read)).unwrap();
    for privilege in [Privilege::Imap, Privilege::Login] {
        auth.set_privilege("alice", privilege, false).unwrap();
        assert!(matches!(login(None), Err(Error::Denied)));
        auth.set_privilege("alice", privilege, true).unwrap();
    }
    assert!(login(None).is_ok());
    let old = changed(|c| c["exp"] = 1_000.into());
    assert!(matches!(
        auth.login_token(&attempt(""), &Zeroizing::new(token("EdDSA", &old))),
        Err(Error::Denied)
    ));
    let by_name = OAuth { user_is: UserIs::Name, user_claim: "preferred_username".into(), ..settings };
    let auth = auth.with_issuer(by_name).unwrap();
    assert_eq!(auth.login_token(&attempt(""), &fresh).unwrap().user.name, "alice");
    // Rubbish slows down where it comes from, and not the user.
    let rubbish = Zeroizing::new("rubbish".to_owned());
    let stranger = IpAddr::from([198, 51, 100, 7]);
    for _ in 0..10 {
        let from = Attempt { from: Some(stranger), ..attempt("alice") };
        assert!(matches!(auth.login_token(&from, &rubbish), Err(Error::Denied)));
    }
    assert_ne!(auth.ask(&Auth::token_account(stranger), stranger), Leave::Now);
    let elsewhere = IpAddr::from([203, 0, 113, 7]);
    assert_eq!(auth.ask("alice", elsewhere), Leave::Now);
    assert_eq!(auth.ask(&Auth::token_account(elsewhere), elsewhere), Leave::Now);
    auth.set_must_change("alice", true).unwrap();
    assert!(matches!(auth.login_token(&attempt(""), &fresh), Err(Error::MustChange)));
    auth.set_must_change("alice", false).unwrap();
    auth.set_allow_from("alice", vec![Network::new(elsewhere, 32)]).unwrap();
    assert!(matches!(auth.login_token(&attempt(""), &fresh), Err(Error::Denied)));
    let log = format!("{:?}", auth.audit_log(1_000).unwrap());
    assert!(log.contains("imap.login OAUTHBEARER") && log.contains("refused"), "{log}");
    assert!(!log.contains("rubbish") && !log.contains(fresh.as_str()), "{log}");
}
